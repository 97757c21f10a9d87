/** One kernel in the panel. */

import * as React from 'react';

import type { KernelsModel } from './model';
import type { Kernel } from './rest';
import { parameterInWords, phaseInWords, since } from './wording';

interface Properties {
  kernel: Kernel;
  model: KernelsModel;
  openNotebook: (path: string) => void;
}

export function KernelCard({ kernel, model, openNotebook }: Properties): React.ReactElement {
  const state = stateOf(kernel);
  const isLeft = !kernel.here && kernel.owner_alive === false;
  const limits = Object.entries(kernel.limits);
  const isBusy = model.busy.has(kernel.id);
  const action = (label: string, act: () => Promise<void>, isPossible = !isBusy): React.ReactElement => (
    <button
      type="button"
      className={`jp-RemoteKernels-button${label === 'Stop' ? ' jp-mod-warn' : ''}`}
      aria-label={`${label} ${kernel.display_name}`}
      // Neither disabled nor gone: that would take the keyboard's place away.
      aria-disabled={!isPossible}
      onClick={() => {
        if (isPossible) {
          void act();
        }
      }}
    >
      {label}
    </button>
  );
  return (
    <li className="jp-RemoteKernels-card" data-kernel={kernel.id}>
      <div className="jp-RemoteKernels-title">
        <span className="jp-RemoteKernels-name" title={kernel.kernel}>
          {kernel.display_name}
        </span>
        <span className="jp-RemoteKernels-state" data-state={state}>
          {state}
        </span>
      </div>
      {kernel.path !== '' && (
        <button
          type="button"
          className="jp-RemoteKernels-path"
          title={`Open ${kernel.path}`}
          onClick={() => {
            openNotebook(kernel.path);
          }}
        >
          {kernel.path}
        </button>
      )}
      {kernel.message !== '' && <p className="jp-RemoteKernels-message">{kernel.message}</p>}
      <dl>
        <Fact name="Where">{kernel.where}</Fact>
        <Fact name="Since">
          <time dateTime={kernel.since} title={new Date(kernel.since).toLocaleString()}>
            {since(kernel.since, new Date())}
          </time>
        </Fact>
        {limits.length > 0 && (
          <Fact name="Limits">{limits.map(([name, value]) => `${parameterInWords(name)} ${value}`).join(', ')}</Fact>
        )}
      </dl>
      <div className="jp-RemoteKernels-actions" role="group" aria-label={`What to do with ${kernel.display_name}`}>
        {action('Logs', () => model.showLogs(kernel))}
        {isLeft && action('Adopt', () => model.adopt(kernel))}
        {kernel.here && action('Restart', () => model.restart(kernel), !isBusy && kernel.phase === 'running')}
        {action('Stop', () => model.stop(kernel))}
      </div>
    </li>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }): React.ReactElement {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** One word for what a kernel does: what it says itself when it runs, else how far its launch is. */
function stateOf(kernel: Kernel): string {
  return kernel.phase === 'running' ? (kernel.execution_state ?? 'running') : phaseInWords(kernel.phase);
}
