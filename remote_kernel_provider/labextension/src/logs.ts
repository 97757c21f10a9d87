/** Why a kernel is not there, and its last output: in a dialog, never in a notebook, as it may hold secrets. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import type { Rest } from './rest';
import { sentenceOf } from './wording';

/** Show them; the reason is what is known of it before the server is asked, which may have more to say. */
export async function showLogs(rest: Rest, kernelId: string, displayName: string, reason = ''): Promise<void> {
  let text: string;
  try {
    const { logs, message } = await rest.logs(kernelId);
    text = logs || 'It has written nothing.';
    reason = message || reason;
  } catch (error) {
    text = `There is no log: ${sentenceOf(error)}`;
  }
  await showDialog({
    title: `Log of ${displayName}`,
    body: new LogView(reason, text),
    buttons: [Dialog.okButton({ label: 'Close' })],
    hasClose: true
  });
}

class LogView extends Widget {
  constructor(reason: string, text: string) {
    super();
    this.addClass('jp-RemoteKernels-log');
    if (reason !== '') {
      const sentence = document.createElement('p');
      sentence.textContent = reason;
      this.node.append(sentence);
    }
    const output = document.createElement('pre');
    output.textContent = text;
    output.tabIndex = 0; // so that the keyboard scrolls it
    output.setAttribute('role', 'log');
    output.setAttribute('aria-label', 'Last output of the kernel');
    this.node.append(output);
  }

  protected override onAfterAttach(): void {
    const output = this.node.querySelector('pre');
    requestAnimationFrame(() => {
      output?.scrollTo(0, output.scrollHeight);
    });
  }
}
