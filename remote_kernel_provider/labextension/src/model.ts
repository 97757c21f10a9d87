/** What the panel shows: the user's kernels, and what is done with them. */

import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { showLogs } from './logs';
import type { Kernel, Rest } from './rest';
import { counted, sentenceOf } from './wording';

/** Milliseconds in which several events make one request. */
const GATHERED = 150;

export class KernelsModel {
  constructor(
    private readonly rest: Rest,
    /** Ends the session of a kernel in this server; false = it has none. */
    private readonly endSession: (kernelId: string) => Promise<boolean>
  ) {}

  /** Emitted when there is something new to show. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The kernels; null until they are known. */
  kernels: Kernel[] | null = null;

  /** Why some of them, or all, could not be listed. */
  failures: string[] = [];

  /** The last thing that happened, for people who do not see the list. */
  said = '';

  /** Ids of the kernels that something is being done with. */
  readonly busy = new Set<string>();

  /** Whether somebody looks: nothing is asked for nobody. */
  get isWatched(): boolean {
    return this._isWatched;
  }

  set isWatched(isWatched: boolean) {
    this._isWatched = isWatched;
    if (isWatched) {
      this.refresh();
    }
  }

  /** Read the kernels anew, soon, if somebody looks. */
  refresh(): void {
    if (this.isWatched && this.timer === 0) {
      this.timer = window.setTimeout(() => {
        this.timer = 0;
        this.loaded = this.loaded.then(() => this.load()); // one at a time: an older answer never comes last
      }, GATHERED);
    }
  }

  async stop(kernel: Kernel): Promise<void> {
    const whose = kernel.here ? '' : ' Another program launched it.';
    const text = `${describe(kernel)} is stopped, and its variables are lost.${whose}`;
    if (await confirmed('Stop kernel?', text, 'Stop')) {
      await this.act(kernel.id, () => this.end(kernel.id), `${kernel.display_name} was stopped.`);
    }
  }

  /** Cancel a launch, unless it is over by now. */
  async cancelLaunch(id: string): Promise<void> {
    if (!(await this.endSession(id))) {
      await this.rest.cancelLaunch(id);
    }
  }

  async restart(kernel: Kernel): Promise<void> {
    const text = `${describe(kernel)} is started anew, and its variables are lost.`;
    if (await confirmed('Restart kernel?', text, 'Restart')) {
      await this.act(kernel.id, () => this.rest.restart(kernel.id), `${kernel.display_name} was restarted.`);
    }
  }

  async adopt(kernel: Kernel): Promise<void> {
    await this.act(kernel.id, () => this.rest.adopt(kernel.id), `${kernel.display_name} belongs to this server now.`);
  }

  async showLogs(kernel: Kernel): Promise<void> {
    await showLogs(this.rest, kernel.id, kernel.display_name);
  }

  /** Remove what dead programs left, after the user has seen what that is. */
  async sweep(): Promise<void> {
    try {
      const { swept, kept } = await this.rest.sweep(true);
      if (swept.length === 0) {
        const others = kept.length === 0 ? '' : ` ${counted(kept.length, 'kernel waits', 'kernels wait')} for a server.`;
        this.say(`There is nothing to remove.${others}`);
        return;
      }
      const list = document.createElement('div');
      list.append(`${counted(swept.length, 'kernel', 'kernels')} of dead programs will be removed:`);
      const items = document.createElement('ul');
      items.append(
        ...swept.map(kernel => {
          const item = document.createElement('li');
          item.textContent = describe(kernel);
          return item;
        })
      );
      list.append(items);
      if (await confirmed('Remove what dead programs left?', list, 'Remove')) {
        const done = await this.rest.sweep(false);
        this.say(`${counted(done.swept.length, 'kernel was', 'kernels were')} removed.`, ...done.problems);
      }
    } catch (error) {
      await showErrorMessage('Nothing was removed', sentenceOf(error));
    } finally {
      this.refresh();
    }
  }

  private async end(id: string): Promise<void> {
    // With its session, so that its notebook has no kernel then, and does not look for this one for ever.
    if (!(await this.endSession(id))) {
      await this.rest.stop(id);
    }
  }

  private async act(id: string, action: () => Promise<unknown>, done: string): Promise<void> {
    this.busy.add(id);
    this._changed.emit();
    try {
      await action();
      this.said = done;
    } catch (error) {
      await showErrorMessage('That did not work', sentenceOf(error));
    } finally {
      this.busy.delete(id);
      this.refresh();
    }
  }

  private async load(): Promise<void> {
    try {
      const { kernels, problems } = await this.rest.kernels();
      this.kernels = kernels;
      this.failures = problems;
    } catch (error) {
      this.failures = [sentenceOf(error)];
    }
    this._changed.emit();
  }

  private say(...sentences: string[]): void {
    this.said = sentences.join(' ');
    this._changed.emit();
  }

  private _isWatched = false;
  private loaded = Promise.resolve();
  private timer = 0;
  private readonly _changed = new Signal<this, void>(this);
}

/** One kernel in a few words. */
function describe(kernel: Kernel): string {
  const whose = kernel.path === '' ? '' : ` of ${kernel.path}`;
  return `${kernel.display_name}${whose} (${kernel.where})`;
}

async function confirmed(title: string, content: string | HTMLElement, label: string): Promise<boolean> {
  const body = typeof content === 'string' ? content : new Widget({ node: content });
  const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label })];
  return (await showDialog({ title, body, buttons })).button.accept;
}
