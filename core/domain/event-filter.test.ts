import { expect, test } from 'vitest';
import type { Event } from './event.ts';
import { eventFilter } from './event-filter.ts';

const event: Event = {
  id: 'e1',
  type: 'snapshot.committed',
  at: '2026-11-22T12:45:00Z',
  subject: { server: 'web-1' },
  text: 'web-1 has a new snapshot',
  data: {},
};

test.each([
  [undefined, true],
  [['snapshot.*'], true],
  [['snapshot.committed'], true],
  [['snapshot.removed', 'operation.*'], false],
  [['snap.*'], false],
  [[], false],
] as const)('of the patterns %j a committed snapshot is wanted: %s', (patterns, wanted) => {
  expect(eventFilter(patterns)(event)).toBe(wanted);
});
