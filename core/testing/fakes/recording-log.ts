import type { Log } from '../../contracts/log.ts';

/** A log that remembers instead of printing. */
export interface RecordingLog extends Log {
  readonly lines: readonly { readonly level: string; readonly fields: object; readonly message: string }[];
}

export function recordingLog(): RecordingLog {
  const lines: { level: string; fields: object; message: string }[] = [];
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
