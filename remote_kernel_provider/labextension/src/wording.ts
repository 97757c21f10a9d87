/** What is said to people, as functions of what is known. */

const PHASES: Record<string, string> = {
  pending: 'waiting',
  pulling: 'pulling its image',
  starting: 'starting',
  running: 'starting'
};

/** What is known of a launch. */
export interface Progress {
  display_name: string;
  phase: string;
  message: string;
  restart: boolean;
}

export function phaseInWords(phase: string): string {
  return PHASES[phase] ?? phase;
}

export function progressText(launch: Progress, seconds: number): string {
  const name = launch.restart ? `${launch.display_name} (restart)` : launch.display_name;
  const words = launch.message === '' ? '' : `, ${launch.message}`;
  return `${name}: ${phaseInWords(launch.phase)}${words} · ${duration(seconds)}`;
}

/** Why a kernel died, and what follows. */
export function deathText(death: { display_name: string; message: string; restarting: boolean }): string {
  const why = death.message === '' ? ' died.' : ` died: ${death.message.replace(/\.?$/, '.')}`;
  const after = death.restarting ? ' It is being restarted; its variables are gone.' : '';
  return `${death.display_name}${why}${after}`;
}

/** Seconds as people say them: `8 s`, `4 min 10 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) {
    return `${whole} s`;
  }
  const [large, small, words] =
    whole < 3600
      ? [Math.floor(whole / 60), whole % 60, ['min', 's']]
      : [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), ['h', 'min']];
  return small === 0 ? `${large} ${words[0]}` : `${large} ${words[0]} ${small} ${words[1]}`;
}

/** Seconds until the time that is shown is to change: a screen reader reads each change aloud. */
export function secondsToNextChange(seconds: number): number {
  const step = seconds < 10 ? 1 : seconds < 60 ? 5 : 15;
  return step - (seconds % step);
}

/** When it began: the time, and the day where that is not today. */
export function since(iso: string, now: Date): string {
  const began = new Date(iso);
  if (Number.isNaN(began.getTime())) {
    return iso;
  }
  const time = began.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  if (began.toDateString() === now.toDateString()) {
    return time;
  }
  return `${began.toLocaleDateString([], { day: 'numeric', month: 'short' })}, ${time}`;
}

export function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The name of a parameter as a label: `launch_timeout` is `Launch timeout`, `gpus` is `GPUs`. */
export function parameterInWords(name: string): string {
  const words = name.replaceAll('_', ' ').replace(/\b[cg]pu|\b[ug]id\b/g, word => word.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
}
