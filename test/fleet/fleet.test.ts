/** A small storm in every run: what a thousand machines need must not be lost with a change made for one. */

import { expect, test } from 'vitest';
import { storm } from './storm.ts';

const MACHINES = 50;

test.skipIf(process.getuid?.() !== 0)(
  `${MACHINES} machines at once come from DISCOVER to an agent that waits for work`,
  async () => {
    const report = await storm({ machines: MACHINES, whole: 3, initrdBytes: 4 << 20, spreadMs: 0 });
    expect(report.failures).toEqual([]);
    // DISCOVER and REQUEST of firmware, iPXE and ramdisk: each was answered.
    expect(report.dhcp.answers).toBe(MACHINES * 6);
    expect(report.wire).toMatchObject({ answers: MACHINES * 6, unanswered: 0, lost: 0 });
    expect(report.complaints).toEqual([]);
    expect(report.peakMiB).toBeLessThan(400);
  },
);
