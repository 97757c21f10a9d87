/** The side panel: what runs where, since when, for whom, and what can be done with it. */

import { ReactWidget, refreshIcon, UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';

import { remoteKernelsIcon } from './icon';
import { KernelCard } from './kernelCard';
import type { KernelsModel } from './model';
import type { Kernel } from './rest';
import { counted } from './wording';

/** Where the panel leads to. */
export interface PanelActions {
  openNotebook: (path: string) => void;
  hasLauncher: () => boolean;
  openLauncher: () => void;
}

export class KernelsPanel extends ReactWidget {
  constructor(
    private readonly model: KernelsModel,
    private readonly actions: PanelActions
  ) {
    super();
    this.id = 'remote-kernels';
    this.title.icon = remoteKernelsIcon;
    this.title.caption = 'Remote Kernels';
    this.addClass('jp-RemoteKernels');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Remote Kernels');
  }

  handleEvent(): void {
    this.model.isWatched = this.isVisible && document.visibilityState === 'visible';
  }

  override dispose(): void {
    this.unwatch();
    super.dispose();
  }

  protected override onAfterShow(): void {
    // Kernels of other hosts come and go without a word to this server, so a user who comes back gets a fresh list.
    window.addEventListener('focus', this);
    document.addEventListener('visibilitychange', this);
    this.handleEvent();
  }

  protected override onBeforeHide(): void {
    this.unwatch();
    this.model.isWatched = false;
  }

  protected override onActivateRequest(): void {
    this.node.querySelector<HTMLElement>('button')?.focus();
  }

  protected override render(): React.ReactElement {
    return (
      <UseSignal signal={this.model.changed}>{() => <Kernels model={this.model} actions={this.actions} />}</UseSignal>
    );
  }

  private unwatch(): void {
    window.removeEventListener('focus', this);
    document.removeEventListener('visibilitychange', this);
  }
}

function Kernels({ model, actions }: { model: KernelsModel; actions: PanelActions }): React.ReactElement {
  const list = useKeptFocus();
  const kernels = model.kernels ?? [];
  const groups: [string, Kernel[]][] = [
    ['This server', kernels.filter(kernel => kernel.here)],
    ['Other programs of yours', kernels.filter(kernel => !kernel.here && kernel.owner_alive !== false)],
    ['Left by a dead program', kernels.filter(kernel => !kernel.here && kernel.owner_alive === false)]
  ];
  return (
    <>
      <div className="jp-RemoteKernels-header">
        <h2>Remote Kernels</h2>
        <button
          type="button"
          className="jp-RemoteKernels-icon"
          title="Refresh the list"
          aria-label="Refresh the list of remote kernels"
          onClick={() => {
            model.refresh();
          }}
        >
          <refreshIcon.react tag="span" />
        </button>
      </div>
      <p role="status" className="jp-RemoteKernels-said">
        {model.said}
      </p>
      {model.failures.map(failure => (
        <p key={failure} role="alert" className="jp-RemoteKernels-failure">
          {failure}
        </p>
      ))}
      <div ref={list} tabIndex={-1} className="jp-RemoteKernels-groups">
        {model.kernels?.length === 0 && <Nothing actions={actions} />}
        {groups.map(([title, members]) =>
          members.length === 0 ? null : (
            <section key={title} aria-label={title}>
              <h3>
                {title}
                <span className="jp-RemoteKernels-count" aria-label={counted(members.length, 'kernel', 'kernels')}>
                  {members.length}
                </span>
              </h3>
              <ul>
                {members.map(kernel => (
                  <KernelCard key={kernel.id} kernel={kernel} model={model} openNotebook={actions.openNotebook} />
                ))}
              </ul>
              {title === 'Left by a dead program' && (
                <button
                  type="button"
                  className="jp-RemoteKernels-button"
                  onClick={() => {
                    void model.sweep();
                  }}
                >
                  Remove all of them…
                </button>
              )}
            </section>
          )
        )}
      </div>
    </>
  );
}

function Nothing({ actions }: { actions: PanelActions }): React.ReactElement {
  return (
    <div className="jp-RemoteKernels-nothing">
      <p>No remote kernel is running.</p>
      <p>Start one from the launcher, or give one to a notebook with Kernel → Change Kernel…</p>
      {actions.hasLauncher() && (
        <button type="button" className="jp-RemoteKernels-button" onClick={actions.openLauncher}>
          Open the launcher
        </button>
      )}
    </div>
  );
}

/** Keep the keyboard's place: when the kernel that it was on is gone, the list has it. */
function useKeptFocus(): React.RefObject<HTMLDivElement> {
  const list = React.useRef<HTMLDivElement>(null);
  const focused = React.useRef<Element | null>(null);
  React.useLayoutEffect(() => {
    if (focused.current?.isConnected === false && document.activeElement === document.body) {
      list.current?.focus();
    }
    const active = document.activeElement;
    focused.current = list.current?.contains(active) ? active : null;
  });
  React.useEffect(() => {
    const note = (event: FocusEvent): void => {
      focused.current = event.target as Element;
    };
    const node = list.current;
    node?.addEventListener('focusin', note);
    return () => {
      node?.removeEventListener('focusin', note);
    };
  }, []);
  return list;
}
