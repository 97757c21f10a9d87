/** The events that the server extension emits. */

import type { ServiceManager } from '@jupyterlab/services';

export const SCHEMA = 'https://remote-kernel-provider.dev/events/kernel/v1';

/** Something that happened to a kernel. */
export interface KernelEvent {
  action: 'launching' | 'launched' | 'failed' | 'cancelled' | 'died';
  kernel_id: string;
  kernel_name: string;
  display_name: string;
  phase: string;
  message: string;
  reason: string;
  seconds: number;
  restart: boolean;
  restarting: boolean;
}

/** Call a function for each event. */
export function onKernelEvent(services: ServiceManager.IManager, act: (event: KernelEvent) => void): void {
  services.events.stream.connect((_, emission) => {
    if (emission.schema_id === SCHEMA) {
      act(emission as unknown as KernelEvent);
    }
  });
}
