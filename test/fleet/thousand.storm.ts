/** `npm run test:fleet`: a thousand machines whose power comes back. Needs root. */

import { expect, test } from 'vitest';
import { storm } from './storm.ts';

/** Within how long a thousand equal machines come out of their self-test. */
const SPREAD_MS = 3000;
/** 400 MB. */
const MEMORY_MIB = 381;

test('1,000 machines at once come from DISCOVER to an agent that waits for work', async () => {
  const report = await storm({
    machines: 1000,
    whole: 50,
    initrdBytes: 4 << 20,
    spreadMs: SPREAD_MS,
    first: true,
  });
  console.log(JSON.stringify(report, undefined, 2));
  expect(report.failures).toEqual([]);
  expect(report.dhcp.answers).toBe(6000);
  expect(report.peakMiB).toBeLessThan(MEMORY_MIB);
  // All that was asked was seen; nothing was lost, by the network or by the capture.
  expect(report.wire).toMatchObject({ answers: 6000, unanswered: 0, lost: 0 });
  expect(report.wire.p99).toBeLessThan(100);
});
