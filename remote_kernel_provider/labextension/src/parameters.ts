/**
 * Asks for a kernel's parameters before it is launched, and launches it with them.
 *
 * Everything by which a user starts a kernel (a launcher's card, the kernel selector, a notebook that is opened) goes
 * through two public methods of `SessionContext`, `startKernel` and `changeKernel`, so these are wrapped, on the
 * prototype: nobody makes session contexts but by `new`. One level below, at the service manager's `startNew`, a form
 * would also stand in the way of extensions that start kernels by themselves; a change of kernel in a session would not
 * be seen, as it is a PATCH of the session; and a cancelled form could only reject, which JupyterLab answers by an error
 * dialog and then a kernel selector. Here a cancelled form leaves a notebook without a kernel, ready and quiet.
 *
 * The values travel apart from the launch, as stock end points take none: they are sent to the server under an id of
 * our making, and the kernel is then started with this id.
 */

import { Dialog, Notification, SessionContext, showDialog, type ISessionContext } from '@jupyterlab/apputils';
import type { Kernel, KernelSpec } from '@jupyterlab/services';
import { UUID, type JSONObject } from '@lumino/coreutils';

import { RefusedError, type Offer, type Rest } from './rest';
import type { Settings } from './settings';
import { sentenceOf } from './wording';

/** How a launch goes on: as ever, not at all, or as the kernel of an id that the server knows values for. */
type Decision = 'plain' | 'cancelled' | { id: string };

export class Parameters {
  constructor(
    private readonly rest: Rest,
    private readonly settings: Settings,
    private readonly specs: KernelSpec.IManager,
    mayAsk: Promise<unknown>
  ) {
    // What a page restores starts with the last values: nobody wants a form for each of yesterday's notebooks.
    void mayAsk.then(() => {
      this.mayAsk = true;
    });
  }

  /** Names of the kernels that have parameters, by what they are called. */
  get kernels(): Map<string, string> {
    const specs = Object.values(this.specs.specs?.kernelspecs ?? {}).filter(spec => spec !== undefined);
    const offered = specs.filter(spec => hasParameters(spec));
    return new Map(offered.map(spec => [spec.display_name, spec.name]));
  }

  /** Ask at the next launch of a kernel, whatever the settings say. */
  askOnce(name: string): void {
    this.asked.add(name);
  }

  /** Let every launch of a session context come by here. */
  install(): void {
    // Each is called with its context below.
    // eslint-disable-next-line @typescript-eslint/unbound-method
    const { startKernel, changeKernel } = SessionContext.prototype;
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    const parameters = this;
    SessionContext.prototype.startKernel = function (): Promise<boolean> {
      return parameters.startKernel(this, () => startKernel.call(this));
    };
    SessionContext.prototype.changeKernel = function (model = {}): Promise<Kernel.IKernelConnection | null> {
      return parameters.changeKernel(this, model, wanted => changeKernel.call(this, wanted));
    };
  }

  /** Start the kernel that a context prefers; true = its user is to select one. */
  private async startKernel(context: SessionContext, start: () => Promise<boolean>): Promise<boolean> {
    await this.specs.ready;
    const { kernelPreference: preference, specsManager, sessionManager } = context;
    const mayStart = preference.autoStartDefault === true || preference.shouldStart !== false;
    const name =
      mayStart && !preference.id
        ? SessionContext.getDefaultKernel({
            specs: specsManager.specs,
            sessions: sessionManager.running(),
            preference
          })
        : null;
    const decision = name === null ? 'plain' : await this.decide(name);
    if (decision === 'plain') {
      return start();
    }
    if (decision === 'cancelled') {
      void context.shutdown(); // once it is initialized, it is as after the choice of no kernel
    }
    if (decision === 'cancelled' || context.isDisposed) {
      return false;
    }
    const needsSelection = await withKernelId(context, decision.id, start);
    void this.checkArrival(context, decision.id);
    return needsSelection;
  }

  private async changeKernel(
    context: SessionContext,
    model: Partial<Kernel.IModel>,
    change: (model: Partial<Kernel.IModel>) => Promise<Kernel.IKernelConnection | null>
  ): Promise<Kernel.IKernelConnection | null> {
    const decision = model.name && !model.id ? await this.decide(model.name) : 'plain';
    if (decision === 'plain') {
      return change(model);
    }
    if (decision === 'cancelled' || context.isDisposed) {
      return kernelOf(context);
    }
    const { id } = decision;
    if (context.session === null) {
      const kernel = await change({ ...model, id });
      void this.checkArrival(context, id);
      return kernel;
    }
    // A session changes to a kernel of a name or to one that runs. When this one does not start, it keeps the old one.
    let started: { id: string };
    try {
      started = await this.rest.start(model.name ?? '', id, context.path);
    } catch (error) {
      await showDialog({ title: 'Error Starting Kernel', body: sentenceOf(error), buttons: [Dialog.okButton()] });
      return kernelOf(context);
    }
    const kernel = await change(started);
    void this.checkArrival(context, id);
    return kernel;
  }

  private async decide(name: string): Promise<Decision> {
    const spec = this.specs.specs?.kernelspecs[name];
    if (!hasParameters(spec)) {
      return 'plain';
    }
    try {
      const offer = await this.rest.offer(name);
      await this.settings.ready;
      return offer.schema === null ? 'plain' : await this.prepare(offer);
    } catch (error) {
      if (error instanceof RefusedError && error.status === 404) {
        return 'plain'; // the server half is not there, or stands back
      }
      console.warn(`No parameters are asked for: ${sentenceOf(error)}`);
      return 'plain';
    }
  }

  private async prepare(offer: Offer): Promise<Decision> {
    const id = UUID.uuid4();
    const mustAsk = this.asked.delete(offer.name);
    let refused: RefusedError | null = null;
    if (!mustAsk && !(this.mayAsk && this.settings.asksFor(offer.name))) {
      if (Object.keys(offer.values).length === 0) {
        return 'plain';
      }
      try {
        await this.rest.prepare(id, offer.name, offer.values, false);
        return { id };
      } catch (error) {
        if (!(error instanceof RefusedError)) {
          throw error;
        }
        refused = error; // the kernel has changed since: now its user has to say
      }
    }
    const { askParameters } = await import('./form');
    const answer = await askParameters(offer, refused, {
      submit: (values: JSONObject) => this.rest.prepare(id, offer.name, values, true),
      forget: () => this.rest.forgetValues(offer.name)
    });
    if (answer === null) {
      return 'cancelled';
    }
    if (answer.isSilenced) {
      await this.settings.silence(offer.name);
    } else if (mustAsk) {
      await this.settings.unsilence(offer.name);
    }
    return { id };
  }

  /** Say so when a kernel was started without its values: then they still wait for one. */
  private async checkArrival(context: ISessionContext, id: string): Promise<void> {
    const kernel = kernelOf(context);
    if (kernel === null || kernel.id === id) {
      return;
    }
    // An old Jupyter Server gives a kernel an id of its own; the values may have reached it all the same.
    const wereWaiting = await this.rest.cancelLaunch(id).then(
      () => true,
      () => false
    );
    if (wereWaiting) {
      Notification.warning(`${context.kernelDisplayName} was started without your parameters.`, { autoClose: false });
    }
  }

  private mayAsk = false;
  private readonly asked = new Set<string>();
}

function kernelOf(context: ISessionContext): Kernel.IKernelConnection | null {
  return context.session?.kernel ?? null;
}

function hasParameters(spec: KernelSpec.ISpecModel | undefined): boolean {
  const schema = spec?.metadata?.['parameters'] as { properties?: object } | undefined;
  return Object.keys(schema?.properties ?? {}).length > 0;
}

/**
 * Start a context's session with a kernel of this id.
 *
 * `startKernel` has no argument for it. It calls the session manager's `startNew` before it awaits anything, so the
 * manager is another one for no longer than that call.
 */
function withKernelId<T>(context: ISessionContext, id: string, start: () => Promise<T>): Promise<T> {
  const manager = context.sessionManager;
  const own = Object.getOwnPropertyDescriptor(manager, 'startNew');
  const startNew = manager.startNew.bind(manager);
  manager.startNew = (options, connection) =>
    startNew({ ...options, kernel: { ...options.kernel, id } as Kernel.IModel }, connection);
  try {
    return start();
  } finally {
    if (own === undefined) {
      delete (manager as { startNew?: unknown }).startNew;
    } else {
      Object.defineProperty(manager, 'startNew', own);
    }
  }
}
