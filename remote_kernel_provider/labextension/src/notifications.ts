/** One notification per launch; the reason when a kernel was not started or has died. */

import { Notification } from '@jupyterlab/apputils';

import type { KernelEvent } from './events';
import type { Launch } from './rest';
import { deathText, duration, progressText, secondsToNextChange, type Progress } from './wording';

/** Seconds within which a launch is over without a word. */
const QUICK = 1.5;

/** Milliseconds for which good news stays. */
const SHORT = 4000;

/** What the buttons of a notification do. */
export interface NoticeActions {
  cancel: (kernelId: string) => void;
  /** Show why, and the kernel's last output. */
  explain: (kernelId: string, displayName: string, message: string) => void;
}

/** A launch under way, and its notification where it has one already. */
interface Notice extends Progress {
  began: number;
  timer: number;
  notification: string | null;
}

export class LaunchNotices {
  /** Whether anything is shown. */
  enabled = true;

  constructor(private readonly actions: NoticeActions) {}

  /** Take in what happened to a kernel. */
  take(event: KernelEvent): void {
    if (event.action === 'launching') {
      this.follow(event.kernel_id, event);
      return;
    }
    const notice = this.notices.get(event.kernel_id);
    if (event.action !== 'died') {
      this.forget(event.kernel_id);
    }
    switch (event.action) {
      case 'launched':
        this.finish(notice, 'success', `${event.display_name} is ready after ${duration(event.seconds)}.`);
        break;
      case 'cancelled':
        this.finish(notice, 'info', `${event.display_name}: the launch was cancelled.`);
        break;
      case 'failed':
        this.alarm(event, 'error', event.message || `${event.display_name} was not started.`, notice);
        break;
      case 'died':
        this.alarm(event, event.restarting ? 'warning' : 'error', deathText(event));
    }
  }

  /** Show the launches that are under way, and those alone: a page may have missed how others ended. */
  align(launches: Launch[]): void {
    const underWay = new Set(launches.map(launch => launch.id));
    for (const [id, notice] of this.notices) {
      if (!underWay.has(id)) {
        this.forget(id);
        if (notice.notification !== null) {
          Notification.dismiss(notice.notification);
        }
      }
    }
    for (const launch of launches) {
      this.follow(launch.id, launch);
    }
  }

  private follow(id: string, progress: Progress & { seconds: number }): void {
    const known = this.notices.get(id);
    const { display_name, phase, message, restart } = progress;
    const began = known?.began ?? Date.now() - progress.seconds * 1000;
    const notice = { display_name, phase, message, restart, began, timer: 0, notification: known?.notification ?? null };
    window.clearTimeout(known?.timer);
    this.notices.set(id, notice);
    this.show(id, notice);
  }

  /** Show how far a launch is, if it is not a quick one, and come back when the time has changed. */
  private show(id: string, notice: Notice): void {
    const seconds = (Date.now() - notice.began) / 1000;
    const isDue = seconds >= QUICK;
    const wait = isDue ? secondsToNextChange(seconds) : QUICK - seconds;
    notice.timer = window.setTimeout(() => {
      this.show(id, notice);
    }, wait * 1000);
    if (!isDue || !this.enabled) {
      return;
    }
    const text = progressText(notice, seconds);
    if (notice.notification !== null) {
      // JupyterLab would open again what its user has closed; with 0 it changes the list of notifications only.
      const autoClose = isOnScreen(notice.notification) ? false : 0;
      Notification.update({ id: notice.notification, message: text, autoClose });
      return;
    }
    const cancel = {
      label: 'Cancel',
      caption: `Cancel the launch of ${notice.display_name}`,
      displayType: 'warn' as const,
      callback: (event: MouseEvent) => {
        event.preventDefault(); // it says itself when nothing is left
        this.actions.cancel(id);
      }
    };
    notice.notification = Notification.emit(text, 'in-progress', { autoClose: false, actions: [cancel] });
  }

  private forget(id: string): void {
    window.clearTimeout(this.notices.get(id)?.timer);
    this.notices.delete(id);
  }

  private finish(notice: Notice | undefined, type: 'success' | 'info', message: string): void {
    const id = notice?.notification;
    if (!id) {
      return;
    }
    if (isOnScreen(id)) {
      Notification.update({ id, message, type, autoClose: SHORT, actions: [] });
    } else {
      Notification.dismiss(id);
    }
  }

  private alarm(event: KernelEvent, type: 'error' | 'warning', message: string, notice?: Notice): void {
    if (!this.enabled) {
      return;
    }
    const explain = {
      label: 'Show Log',
      caption: `Show the reason and the last output of ${event.display_name}`,
      displayType: 'accent' as const,
      callback: (click: MouseEvent) => {
        click.preventDefault();
        this.actions.explain(event.kernel_id, event.display_name, message);
      }
    };
    const options = { autoClose: false as const, actions: [explain] };
    if (notice?.notification) {
      Notification.update({ id: notice.notification, message, type, ...options });
    } else {
      Notification.emit(message, type, options);
    }
  }

  private readonly notices = new Map<string, Notice>();
}

/** Whether the toast of a notification is there; its element has the notification's id. */
function isOnScreen(id: string): boolean {
  return document.getElementById(id) !== null;
}
