/** The server extension's end points, and what they answer. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

/** A launch under way. */
export interface Launch {
  id: string;
  name: string;
  display_name: string;
  phase: string;
  message: string;
  seconds: number;
  restart: boolean;
}

/** A kernel of this user, wherever it runs and whoever launched it. */
export interface Kernel {
  id: string;
  name: string;
  display_name: string;
  kernel: string;
  where: string;
  provider: string;
  since: string;
  phase: string;
  message: string;
  execution_state: string | null;
  path: string;
  limits: Record<string, string | number>;
  /** Whether it is a kernel of the server that answers. */
  here: boolean;
  owner: { user: string; host_id: string; instance: string };
  owner_alive: boolean | null;
}

/** What dead programs left. */
export interface Sweep {
  swept: Kernel[];
  /** What a server may still come back for. */
  kept: (Kernel & { why: string })[];
  problems: string[];
}

/** What a user may say about a kernel's launch. */
export interface Offer {
  name: string;
  display_name: string;
  schema: JSONObject | null;
  /** What this user said the last time. */
  values: JSONObject;
}

/** An answer that is an error: a sentence, and sentences about single parameters. */
export class RefusedError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly errors: Record<string, string> = {}
  ) {
    super(message);
  }
}

/** Client of one server. */
export class Rest {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  offer(name: string): Promise<Offer> {
    return this.ask<Offer>('GET', `remote-kernels/specs/${encodeURIComponent(name)}/parameters`);
  }

  async forgetValues(name: string): Promise<void> {
    await this.ask('DELETE', `remote-kernels/specs/${encodeURIComponent(name)}/parameters`);
  }

  /** Say with what the kernel of this id is to be launched. */
  async prepare(id: string, name: string, parameters: JSONObject, remember: boolean): Promise<void> {
    await this.ask('POST', `remote-kernels/launches/${id}`, { name, parameters, remember });
  }

  launches(): Promise<Launch[]> {
    return this.ask<Launch[]>('GET', 'remote-kernels/launches');
  }

  /** Cancel a launch under way, or forget the values of one to come. */
  async cancelLaunch(id: string): Promise<void> {
    await this.ask('DELETE', `remote-kernels/launches/${id}`);
  }

  kernels(): Promise<{ kernels: Kernel[]; problems: string[] }> {
    return this.ask('GET', 'remote-kernels/kernels');
  }

  /** The kernel's last output; of one that ended badly also why, in whole. */
  logs(id: string): Promise<{ logs: string; message: string }> {
    return this.ask('GET', `remote-kernels/kernels/${id}/logs?tail=200`);
  }

  async stop(id: string): Promise<void> {
    await this.ask('DELETE', `remote-kernels/kernels/${id}`);
  }

  adopt(id: string): Promise<Kernel> {
    return this.ask<Kernel>('POST', `remote-kernels/kernels/${id}/adopt`, {});
  }

  sweep(dryRun: boolean): Promise<Sweep> {
    return this.ask('POST', 'remote-kernels/sweep', { dry_run: dryRun });
  }

  async restart(id: string): Promise<void> {
    await this.ask('POST', `api/kernels/${id}/restart`, {});
  }

  /** Start a kernel of a prepared id outside of any session. */
  async start(name: string, id: string, path: string): Promise<{ id: string }> {
    return { id: (await this.ask<{ id: string }>('POST', 'api/kernels', { name, kernel_id: id, path })).id };
  }

  private async ask<T>(method: string, path: string, body?: JSONObject): Promise<T> {
    const response = await ServerConnection.makeRequest(
      URLExt.join(this.settings.baseUrl, path),
      { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) },
      this.settings
    );
    const text = await response.text();
    if (!response.ok) {
      throw refusal(response, text);
    }
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }
}

function refusal(response: Response, text: string): RefusedError {
  try {
    const { message, errors } = JSON.parse(text) as { message?: string; errors?: Record<string, string> };
    return new RefusedError(response.status, message ?? response.statusText, errors);
  } catch {
    return new RefusedError(response.status, response.statusText);
  }
}
