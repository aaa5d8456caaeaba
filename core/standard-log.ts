/** The appliance's own log: JSON lines on standard error, which no slow reader can hold the appliance up with. */

import { pino } from 'pino';
import type { Log } from './contracts/log.ts';

/** Bytes that wait for a reader; what comes beyond is dropped. Some 20,000 lines. */
const WAITING_BYTES = 4 * 1024 * 1024;
const STDERR = 2;

/**
 * From `info` up. Lines are written on another thread, all that have gathered at a time: whoever reads them (a journal
 * that is busy, a terminal that is stopped) may be late. Dropped lines are counted, and the number is logged once there
 * is room again. At the end of the process what waits is written.
 */
export function standardLog(): Log {
  const lines = pino.destination({ dest: STDERR, sync: false, maxLength: WAITING_BYTES });
  const log = pino({ level: 'info' }, lines);
  let dropped = 0;
  lines.on('drop', () => {
    dropped += 1;
  });
  lines.on('drain', () => {
    if (dropped === 0) return;
    const count = dropped;
    dropped = 0;
    log.warn({ dropped: count }, 'nobody read this log for a while: lines are missing here');
  });
  return log;
}
