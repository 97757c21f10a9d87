/** The user's settings; the defaults where there is no settings registry. */

import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';

import { sentenceOf } from './wording';

export class Settings {
  constructor(loading: Promise<ISettingRegistry.ISettings> | undefined) {
    this.ready = this.take(loading);
  }

  /** Fulfilled when they have been read. */
  readonly ready: Promise<void>;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get notifications(): boolean {
    return this.registered?.composite['notifications'] !== false;
  }

  /** Whether a kernel's parameters are asked for before it is launched. */
  asksFor(kernelName: string): boolean {
    return this.registered?.composite['askForParameters'] !== false && !this.silent.includes(kernelName);
  }

  /** Ask for a kernel's parameters no more. */
  async silence(kernelName: string): Promise<void> {
    await this.registered?.set('doNotAsk', [...this.silent, kernelName]);
  }

  /** Ask for a kernel's parameters again. */
  async unsilence(kernelName: string): Promise<void> {
    if (this.silent.includes(kernelName)) {
      await this.registered?.set(
        'doNotAsk',
        this.silent.filter(name => name !== kernelName)
      );
    }
  }

  private async take(loading: Promise<ISettingRegistry.ISettings> | undefined): Promise<void> {
    try {
      this.registered = await loading;
    } catch (error) {
      console.warn(`The settings of remote kernels cannot be read: ${sentenceOf(error)}`);
    }
    this.registered?.changed.connect(() => {
      this._changed.emit();
    });
  }

  private get silent(): string[] {
    return (this.registered?.composite['doNotAsk'] ?? []) as string[];
  }

  private registered: ISettingRegistry.ISettings | undefined;
  private readonly _changed = new Signal<this, void>(this);
}
