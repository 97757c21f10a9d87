/** JupyterLab's half of the server extension: notifications, the form of parameters, the panel. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { addCommands } from './commands';
import { onKernelEvent } from './events';
import { showLogs } from './logs';
import { KernelsModel } from './model';
import { LaunchNotices } from './notifications';
import { KernelsPanel } from './panel';
import { Parameters } from './parameters';
import { Rest, type Launch } from './rest';
import { Settings } from './settings';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'remote-kernel-provider-labextension:plugin',
  description: 'Shows launches, parameters and running kernels of remote kernel providers.',
  autoStart: true,
  // Notebook 7 has not all of them.
  optional: [ISettingRegistry, ICommandPalette, ILayoutRestorer],
  activate
};

export default plugin;

async function activate(
  app: JupyterFrontEnd,
  registry: ISettingRegistry | null,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null
): Promise<void> {
  const services = app.serviceManager;
  const rest = new Rest(services.serverSettings);
  const settings = new Settings(registry?.load(plugin.id));
  const parameters = new Parameters(rest, settings, services.kernelspecs, mayAsk(app, restorer));
  parameters.install(); // before anything is awaited: a page of Notebook 7 starts its kernel early

  let launches: Launch[];
  try {
    launches = await rest.launches();
  } catch {
    return; // the server half is not there, or stands back: so does this one
  }

  const model = new KernelsModel(rest, async kernelId => {
    const session = [...services.sessions.running()].find(each => each.kernel?.id === kernelId);
    await (session && services.sessions.shutdown(session.id));
    return session !== undefined;
  });

  const notices = new LaunchNotices({
    cancel: id => {
      void model.cancelLaunch(id).catch(() => undefined); // it was over just now
    },
    explain: (id, name, message) => {
      void showLogs(rest, id, name, message);
    }
  });
  const applySettings = (): void => {
    notices.enabled = settings.notifications;
  };
  void settings.ready.then(applySettings);
  settings.changed.connect(applySettings);
  onKernelEvent(services, event => {
    notices.take(event);
    model.refresh();
  });
  services.kernels.runningChanged.connect(() => {
    model.refresh();
  });
  notices.align(launches);
  // Events are lost while a laptop sleeps or a server restarts.
  window.addEventListener('focus', () => {
    void rest.launches().then(
      current => {
        notices.align(current);
      },
      () => undefined // the next one will
    );
  });

  const panel = new KernelsPanel(model, {
    openNotebook: path => {
      void app.commands.execute('docmanager:open', { path });
    },
    hasLauncher: () => app.commands.hasCommand('launcher:create'),
    openLauncher: () => {
      void app.commands.execute('launcher:create');
    }
  });
  app.shell.add(panel, 'left', { rank: 250, type: 'Remote Kernels' });
  restorer?.add(panel, panel.id);
  addCommands(app, palette, panel, model, parameters);
}

/** Fulfilled when it is the user who launches kernels in this page, and not the page. */
function mayAsk(app: JupyterFrontEnd, restorer: ILayoutRestorer | null): Promise<unknown> {
  if (PageConfig.getOption('notebookPage') === 'tree') {
    // Notebook 7 launches the kernel of a new notebook here, behind the page that it has opened for it.
    return new Promise(() => undefined);
  }
  return restorer === null ? Promise.resolve() : app.restored;
}
