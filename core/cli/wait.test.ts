import { describe, expect, test } from 'vitest';
import type { Operation, OperationStep } from '../domain/operation.ts';
import { OverdubError } from '../errors.ts';
import type { ApiClient } from './client.ts';
import type { Call } from './command.ts';
import { waitForEnd } from './wait.ts';

const step = (progress?: OperationStep['progress']): OperationStep => ({
  name: 'restore',
  state: 'running',
  attempts: 1,
  ...(progress === undefined ? {} : { progress }),
});
const operation = (over: Partial<Operation>): Operation => ({
  id: 'op1',
  kind: 'rollback',
  server: 'web-1',
  state: 'running',
  requestedBy: 'admin',
  parameters: {},
  memory: {},
  steps: [step()],
  createdAt: '2026-11-22T12:45:00Z',
  ...over,
});
const done = operation({ state: 'done' });

/** Waits through these answers of the appliance; what was shown, and the end. */
async function wait(interactive: boolean, answers: (Operation | Error)[], minutesApart = 0) {
  let [err, now] = ['', 0];
  const environment = {
    interactive,
    err: (text: string) => {
      err += text;
    },
    now: () => {
      now += minutesApart * 60_000;
      return now;
    },
    signal: new AbortController().signal,
  };
  const client = {
    get: async () => {
      const answer = answers.shift() ?? done;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  } as unknown as ApiClient;
  const ended = await waitForEnd({ environment, json: false } as unknown as Call, client, operation({}));
  return { ended, err };
}

describe('progress', () => {
  test('on a terminal one line is redrawn, with a bar, and removed at the end', async () => {
    const half = operation({ steps: [step({ doneBytes: 5_000_000, totalBytes: 10_000_000 })] });
    const { ended, err } = await wait(true, [half, done]);
    expect(ended).toBe(done);
    expect(err).toContain('\r\u001b[Krollback of web-1: restore ██████████░░░░░░░░░░ 50 % of 10.0 MB');
    expect(err.endsWith('\r\u001b[K')).toBe(true);
  });

  test('elsewhere a line a change', async () => {
    const waiting = operation({ state: 'waiting', attention: 'power-cycle \u001b[31mmachine-1' });
    const { err } = await wait(false, [operation({}), operation({}), waiting, done]);
    expect(err.split('\n').slice(0, 2)).toEqual([
      'rollback of web-1: restore',
      'rollback of web-1 waits: power-cycle \\u{1b}[31mmachine-1',
    ]);
  });
});

describe('an appliance that goes away', () => {
  const gone = new OverdubError('APPLIANCE_UNREACHABLE', 'ECONNREFUSED', '');

  test('is waited for while it restarts', async () => {
    expect((await wait(false, [gone, gone, done])).ended).toBe(done);
  });

  test('is given up after two minutes', async () => {
    await expect(wait(false, [gone, gone, gone], 3)).rejects.toMatchObject({ code: 'APPLIANCE_UNREACHABLE' });
  });

  test('another error ends the wait at once', async () => {
    await expect(wait(false, [new OverdubError('NOT_FOUND', 'no such operation', '')])).rejects.toMatchObject(
      { code: 'NOT_FOUND' },
    );
  });
});
