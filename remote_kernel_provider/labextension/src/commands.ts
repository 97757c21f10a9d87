/** The entries of the command palette. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { InputDialog, Notification, type ICommandPalette, type ISessionContext } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

import type { KernelsModel } from './model';
import type { Parameters } from './parameters';

const CATEGORY = 'Remote Kernels';

export function addCommands(
  app: JupyterFrontEnd,
  palette: ICommandPalette | null,
  panel: Widget,
  model: KernelsModel,
  parameters: Parameters
): void {
  const add = (name: string, label: string, caption: string, execute: () => unknown): void => {
    const command = `remote-kernels:${name}`;
    app.commands.addCommand(command, { label, caption, execute });
    palette?.addItem({ command, category: CATEGORY });
  };
  add('open', 'Show Remote Kernels', 'Show what runs where', () => {
    app.shell.activateById(panel.id);
  });
  add('sweep', 'Remove What Dead Programs Left…', 'Remove kernels that nobody will adopt', () => model.sweep());
  add(
    'launch-with-parameters',
    'Launch Kernel with Parameters…',
    'Launch a kernel for the current notebook or console, or for a new notebook',
    () => launchWithParameters(app, parameters)
  );
}

/** Show the form of the kernel at hand, or of one that is chosen, even where it is not to be shown any more. */
async function launchWithParameters(app: JupyterFrontEnd, parameters: Parameters): Promise<void> {
  const { kernels } = parameters;
  if (kernels.size === 0) {
    Notification.info('No kernel here has parameters.', { autoClose: 4000 });
    return;
  }
  const context = (app.shell.currentWidget as { sessionContext?: ISessionContext } | null)?.sessionContext;
  let name = context?.session?.kernel?.name;
  if (name === undefined || ![...kernels.values()].includes(name)) {
    const choice = await InputDialog.getItem({ title: 'Launch which kernel?', items: [...kernels.keys()] });
    name = choice.button.accept && choice.value !== null ? kernels.get(choice.value) : undefined;
  }
  if (name === undefined) {
    return;
  }
  parameters.askOnce(name);
  if (context) {
    await context.changeKernel({ name });
  } else {
    await app.commands.execute('notebook:create-new', { kernelName: name, activate: true });
  }
}
