import {
  type Entry,
  ERROR_CODES,
  type ErrorCode,
  type Machine,
  type Master,
  type Operation,
  OverdubError,
  type Server,
  type Snapshot,
} from '@overdub/core';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { afterEach, describe, expect, test } from 'vitest';
import { HTTP_STATUS } from './http-errors.ts';
import { RECORDS } from './schemas.ts';
import * as records from './testing/records.ts';
import { answers, as, clock, closeAll, serve, stream } from './testing/serve.ts';

afterEach(closeAll);

describe('errors', () => {
  test.each(Object.keys(ERROR_CODES) as ErrorCode[])('%s has its status and travels whole', async (code) => {
    const failure = new OverdubError(code, 'what', 'next', { plugin: 'p', hook: 'h' });
    const { app } = await serve({ getMachine: () => Promise.reject(failure) });
    const response = await app.inject(as('viewer', { url: '/api/v1/machines/m1' }));
    expect(response.statusCode).toBe(HTTP_STATUS[code]);
    expect(response.json()).toEqual({ code, message: 'what', remedy: 'next', plugin: 'p', hook: 'h' });
  });

  test('what nobody expected is INTERNAL, without a stack', async () => {
    const { app } = await serve({ getMachine: () => Promise.reject(new TypeError('x is undefined')) });
    const response = await app.inject(as('viewer', { url: '/api/v1/machines/m1' }));
    expect(response.statusCode).toBe(500);
    expect(response.json()).toMatchObject({ code: 'INTERNAL' });
    expect(response.body).not.toContain('api.test');
  });

  test('a stream that fails at once is an ordinary error, later a last line', async () => {
    const gone = new OverdubError('NOT_FOUND', 'no snapshot', '');
    const damaged = new OverdubError('REPOSITORY_DAMAGED', 'bad page', '');
    const failing = async function* (error: Error, ...first: Entry[]) {
      yield* first;
      throw error;
    };
    const { app } = await serve({
      listFiles: (ref) => (ref === 'a@1' ? failing(gone) : failing(damaged, records.entry)),
    });
    const early = await app.inject(as('viewer', { url: '/api/v1/images/a@1/files' }));
    expect(early.statusCode).toBe(404);
    const late = await app.inject(as('viewer', { url: '/api/v1/images/b@1/files' }));
    const lines = late.body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([records.entry, { error: damaged.toJSON() }]);
  });
});

describe('answers', () => {
  test('names that are not UTF-8 survive', async () => {
    const odd = { ...records.entry, path: 'etc/\udce9t\udce9' };
    const { app } = await serve({ listFiles: () => stream(odd) });
    const response = await app.inject(as('viewer', { url: '/api/v1/images/a@1/files' }));
    expect(JSON.parse(response.body)).toEqual(odd);
  });

  test('file content comes with its length and its entry', async () => {
    const { app } = await serve(answers);
    const response = await app.inject(as('operator', { url: '/api/v1/images/web@3/content?path=etc/motd' }));
    expect(response.body).toBe('hello\n');
    expect(response.headers['content-length']).toBe('6');
    expect(response.headers['content-type']).toBe('application/octet-stream');
    const header = JSON.parse(Buffer.from(String(response.headers['overdub-entry']), 'base64url').toString());
    expect(header).toEqual({
      path: 'etc/motd',
      type: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeNs: records.entry.mtimeNs,
      bytes: 6,
      digest: records.content.digest,
    });
  });

  test('a directory has no content', async () => {
    const { content: _, ...bare } = records.entry;
    const { app } = await serve({
      readFile: async () => ({ entry: { ...bare, type: 'directory' }, content: stream() }),
    });
    const response = await app.inject(as('operator', { url: '/api/v1/images/web@3/content?path=etc' }));
    expect(response.json()).toMatchObject({ code: 'INPUT_INVALID' });
  });

  test('an operation never shows its memory', async () => {
    const { app } = await serve(answers);
    for (const url of ['/operations', '/operations/op1']) {
      expect((await app.inject(as('viewer', { url: `/api/v1${url}` }))).body).not.toContain('SECRET');
    }
  });

  test('waiting ends with the operation, or with the time', async () => {
    const done: Operation = { ...records.operation, state: 'done' };
    let state = records.operation;
    const { app } = await serve({
      getOperation: async () => state,
      waitOperation: async (id, { signal }) => {
        if (id === 'slow') await clock.sleep(10_000, signal);
        else await clock.sleep(20);
        state = done;
        return done;
      },
    });
    const slow = await app.inject(as('viewer', { url: '/api/v1/operations/slow?wait=0.05' }));
    expect(slow.json().state).toBe('running');
    const quick = await app.inject(as('viewer', { url: '/api/v1/operations/quick?wait=30' }));
    expect(quick.json().state).toBe('done');
  });

  test('events arrive as they happen, and end with the appliance', async () => {
    const { app } = await serve({ events: () => stream(records.event) });
    const response = await app.inject(as('viewer', { url: '/api/v1/events' }));
    expect(response.headers['content-type']).toBe('text/event-stream');
    expect(response.body).toContain(
      `id: e1\nevent: snapshot.committed\ndata: ${JSON.stringify(records.event)}\n\n`,
    );
  });
});

describe('schemas', () => {
  test.each([
    ['Machine', records.machine satisfies Machine],
    ['Master', records.master satisfies Master],
    ['Server', records.server satisfies Server],
    ['Snapshot', records.snapshot satisfies Snapshot],
    ['Operation', records.operation satisfies Operation],
    ['Entry', records.entry satisfies Entry],
    ['DiffEntry', records.change],
  ] as const)('the schema of %s fits the record', (name, record) => {
    const schema: TSchema = RECORDS[name];
    expect(Value.Errors(schema, record)).toEqual([]);
    expect(
      Object.keys(record).filter((key) => !(key in (schema as unknown as { properties: object }).properties)),
    ).toEqual([]);
  });
});
