/** The form in which a user says with what a kernel is to be launched. */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import { FormComponent } from '@jupyterlab/ui-components';
import { JSONExt, type JSONObject, type JSONValue, type ReadonlyJSONObject } from '@lumino/coreutils';
import type { FieldTemplateProps, UiSchema } from '@rjsf/utils';
import { customizeValidator } from '@rjsf/validator-ajv8';
import * as React from 'react';

import { RefusedError, type Offer } from './rest';
import { parameterInWords, sentenceOf } from './wording';

const validator = customizeValidator<ReadonlyJSONObject>();
const templates = { FieldTemplate: Field };

/** What the form does with the server. */
export interface FormActions {
  /** Hand the values over; a RefusedError is shown at its fields, and the form stays. */
  submit: (values: JSONObject) => Promise<void>;
  /** Forget what the user said the last time. */
  forget: () => Promise<void>;
}

/** Ask for a kernel's parameters; null = the launch is cancelled. */
export async function askParameters(
  offer: Offer,
  refused: RefusedError | null,
  actions: FormActions
): Promise<{ isSilenced: boolean } | null> {
  const body = new ParametersForm(offer, refused, actions);
  const dialog = new ParametersDialog(offer, body);
  const result = await dialog.launch();
  return result.button.accept ? { isSilenced: result.isChecked === true } : null;
}

/** A dialog that closes when the server has taken the values. */
class ParametersDialog extends Dialog<unknown> {
  constructor(
    offer: Offer,
    private readonly form: ParametersForm
  ) {
    super({
      title: `Launch ${offer.display_name}`,
      body: form,
      buttons: [
        Dialog.cancelButton({ ariaLabel: 'Cancel the launch' }),
        Dialog.okButton({ label: 'Launch', ariaLabel: `Launch ${offer.display_name}` })
      ],
      checkbox: {
        label: 'Do not ask again for this kernel',
        caption: 'The command “Launch Kernel with Parameters…” and the settings bring this form back.'
      },
      focusNodeSelector: 'input, select, textarea'
    });
    this.addClass('jp-RemoteKernels-formDialog');
  }

  override resolve(index = 1): void {
    if (index !== 1) {
      super.resolve(index);
      return;
    }
    if (this.isSubmitting) {
      return;
    }
    this.isSubmitting = true;
    void this.form.submit().then(isTaken => {
      this.isSubmitting = false;
      if (isTaken) {
        super.resolve(index);
      }
    });
  }

  private isSubmitting = false;
}

class ParametersForm extends ReactWidget {
  constructor(
    private readonly offer: Offer,
    refused: RefusedError | null,
    private readonly actions: FormActions
  ) {
    super();
    this.addClass('jp-RemoteKernels-form');
    // The validator knows the older drafts by name only; what a form needs is the same in all of them.
    const { $schema, title, ...schema } = offer.schema ?? {};
    this.schema = { ...schema, properties: named(schema['properties'] as JSONObject) };
    this.uiSchema = secrets(this.properties);
    this.values = offer.values;
    this.refused = refused;
  }

  /** Hand the values over; false = they were refused, and the form says why. */
  async submit(): Promise<boolean> {
    try {
      await this.actions.submit(this.changed());
      return true;
    } catch (error) {
      this.refused = error instanceof RefusedError ? error : new RefusedError(0, sentenceOf(error));
      this.update();
      return false;
    }
  }

  protected override render(): React.ReactElement {
    const fields = this.refused?.errors ?? {};
    const named = Object.keys(fields).filter(name => name in this.properties);
    const isShown = this.refused !== null && named.length === 0;
    return (
      <>
        <FormComponent
          schema={this.schema}
          validator={validator}
          formData={this.values}
          onChange={change => {
            this.values = change.formData as JSONObject;
            this.refused = null;
            this.update();
          }}
          uiSchema={this.uiSchema}
          templates={templates}
          extraErrors={Object.fromEntries(named.map(name => [name, { __errors: [fields[name] ?? ''] }]))}
          tagName="div"
          liveValidate
          noHtml5Validate
          showErrorList={false}
        />
        <p className="jp-RemoteKernels-refusal" role="alert">
          {isShown ? this.refused?.message : ''}
        </p>
        {Object.keys(this.offer.values).length > 0 && (
          <button
            type="button"
            className="jp-Button jp-mod-styled jp-mod-minimal jp-RemoteKernels-defaults"
            onClick={() => {
              this.values = {};
              this.refused = null;
              this.update();
              void this.actions.forget();
            }}
          >
            Use the defaults
          </button>
        )}
      </>
    );
  }

  /** The values that differ from the defaults: only those are the user's word. */
  private changed(): JSONObject {
    const values = Object.entries<JSONValue | undefined>(this.values).filter(([name, value]) => {
      const rule = this.properties[name] as ReadonlyJSONObject | undefined;
      const usual = rule?.['default'];
      return value !== undefined && !(usual !== undefined && JSONExt.deepEqual(value, usual));
    });
    return Object.fromEntries(values) as JSONObject;
  }

  private get properties(): ReadonlyJSONObject {
    return (this.schema['properties'] ?? {}) as ReadonlyJSONObject;
  }

  private readonly schema: JSONObject;
  private readonly uiSchema: UiSchema<ReadonlyJSONObject>;
  private values: JSONObject;
  private refused: RefusedError | null;
}

/** One field. JupyterLab's own ties no label to its input, which screen readers need. */
function Field(props: FieldTemplateProps): React.ReactElement {
  const { id, label, schema, displayLabel, required, rawErrors, errors, children } = props;
  const isRoot = id === 'root';
  return (
    <div className={`jp-FormGroup-content jp-RemoteKernels-field${rawErrors?.length ? ' jp-mod-wrong' : ''}`}>
      {displayLabel && !isRoot && (
        <label htmlFor={id}>
          {label}
          {required && <span aria-hidden="true"> *</span>}
        </label>
      )}
      {!isRoot && schema.description !== undefined && (
        <div id={`${id}__description`} className="jp-RemoteKernels-description">
          {schema.description}
        </div>
      )}
      <div className={isRoot ? 'jp-root' : 'jp-inputFieldWrapper'}>{children}</div>
      <div className="validationErrors" aria-live="polite">
        {errors}
      </div>
    </div>
  );
}

/** Give each parameter without a title one. */
function named(properties: JSONObject): JSONObject {
  const rules = Object.entries(properties as Record<string, JSONObject>);
  return Object.fromEntries(rules.map(([name, rule]) => [name, { title: parameterInWords(name), ...rule }]));
}

/** Let nobody read over a shoulder what a schema calls secret; the server does not remember it either. */
function secrets(properties: ReadonlyJSONObject): UiSchema<ReadonlyJSONObject> {
  const rules = Object.entries(properties as Record<string, ReadonlyJSONObject>);
  const hidden = rules.filter(([, rule]) => rule['writeOnly'] === true || rule['format'] === 'password');
  return Object.fromEntries(hidden.map(([name]) => [name, { 'ui:widget': 'password' }]));
}
