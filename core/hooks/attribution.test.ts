import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Event } from '../domain/event.ts';
import { OverdubError } from '../errors.ts';
import { createHooks } from './attribution.ts';
import { HOOK_NAMES, HOOK_TABLE, type HookName, type HookTaps } from './hooks.ts';

const choice = { targetBytes: 10, wholeBytes: 10, candidates: [] };
const event: Event = {
  id: '1',
  type: 'machine.seen',
  at: '2026-11-22T12:45:00Z',
  subject: {},
  text: '',
  data: {},
};

function fresh() {
  const isolated: OverdubError[] = [];
  return { hooks: createHooks((error) => isolated.push(error)), isolated };
}

/** What a plugin in plain JavaScript could call. */
type LooseTap = { tap(handler: unknown, options?: unknown): void };
const loose = (taps: HookTaps, group: string, verb: string) =>
  (taps as unknown as Record<string, Record<string, LooseTap>>)[group]?.[verb] as LooseTap;

describe('names', () => {
  test.each([
    ['bot', 'plan', /asks for bot, which is no hook group\..*/],
    ['boot', 'plann', /asks for boot\.plann, which is no hook\./],
  ])('%s.%s, misspelt, is told with the names that there are', (group, verb, message) => {
    const taps = fresh().hooks.tapsFor('site');
    const tap = () => loose(taps, group, verb).tap(() => undefined);
    expect(tap).toThrow(message);
    expect(tap).toThrow(
      expect.objectContaining({ code: 'PLUGIN_FAILED', remedy: expect.stringContaining('boot') }),
    );
  });

  test('groups can be listed and printed', () => {
    const taps = fresh().hooks.tapsFor('site');
    expect(Object.keys(taps)).toEqual([...new Set(HOOK_NAMES.map((name) => name.split('.')[0]))]);
    expect(inspect(taps, { depth: 3 })).toContain('artifact');
  });
});

describe('answers', () => {
  test('null and undefined both mean "not mine"', async () => {
    const { hooks } = fresh();
    hooks.tapsFor('a').diffing.choose.tap(() => null);
    hooks.tapsFor('b').diffing.choose.tap(() => undefined);
    expect(await hooks.call('diffing.choose', choice)).toBeUndefined();
    hooks.tapsFor('c').diffing.choose.tap(async () => ({ codec: 'zstd' }));
    hooks.tapsFor('d').diffing.choose.tap(() => ({ codec: 'never asked' }));
    expect(await hooks.call('diffing.choose', choice)).toEqual({ codec: 'zstd' });
  });

  test('a hook without taps answers nothing', async () => {
    const { hooks } = fresh();
    expect(await hooks.call('boot.artifact', { name: 'x' })).toBeUndefined();
    expect(await hooks.call('diffing.codec', {})).toEqual([]);
  });

  test('collect gathers every answer in order and leaves null out', async () => {
    const { hooks } = fresh();
    const codec = (name: string) => ({ name }) as never;
    hooks.tapsFor('a').diffing.codec.tap(() => codec('one'));
    hooks.tapsFor('b').diffing.codec.tap(() => null);
    hooks.tapsFor('c').diffing.codec.tap(async () => codec('three'));
    expect(await hooks.call('diffing.codec', {})).toEqual([{ name: 'one' }, { name: 'three' }]);
  });

  test('stage orders taps; equal stages keep load order', async () => {
    const { hooks } = fresh();
    const asked: string[] = [];
    const note = (name: string) => () => {
      asked.push(name);
      return undefined;
    };
    hooks.tapsFor('a').boot.artifact.tap(note('a'));
    hooks.tapsFor('b').boot.artifact.tap(note('b'), { stage: -1 });
    hooks.tapsFor('c').boot.artifact.tap(note('c'), { stage: 5 });
    hooks.tapsFor('d').boot.artifact.tap(note('d'));
    await hooks.call('boot.artifact', { name: 'x' });
    expect(asked).toEqual(['b', 'a', 'd', 'c']);
    expect(hooks.tapped('boot.artifact')).toEqual(['b', 'a', 'd', 'c']);
  });
});

describe('failures', () => {
  test.each([
    [
      'thrown',
      () => {
        throw new Error('no such image');
      },
    ],
    ['rejected', () => Promise.reject(new Error('no such image'))],
  ])('what a tap has %s names plugin and hook, and keeps its cause', async (_how, handler) => {
    const { hooks } = fresh();
    hooks.tapsFor('imaging-tree').imaging.source.tap(handler);
    const error = await hooks.call('imaging.source', { path: '/x' }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OverdubError);
    expect(error).toMatchObject({ code: 'PLUGIN_FAILED', plugin: 'imaging-tree', hook: 'imaging.source' });
    expect((error as Error).message).toBe('imaging-tree failed in imaging.source: no such image');
    expect((error as Error).cause).toBeInstanceOf(Error);
  });

  test('a coded error keeps code and remedy', async () => {
    const { hooks } = fresh();
    hooks.tapsFor('storage-local').storage.open.tap(() => {
      throw new OverdubError('STATE_LOCKED', 'in use by 4711', 'stop the other appliance');
    });
    await expect(hooks.call('storage.open', { url: 'file:/x' })).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      remedy: 'stop the other appliance',
      plugin: 'storage-local',
      hook: 'storage.open',
    });
  });

  test('even a thrown non-error is named', async () => {
    const { hooks } = fresh();
    hooks.tapsFor('a').boot.plan.tap(() => Promise.reject('plain text'));
    await expect(hooks.call('boot.plan', {} as never)).rejects.toMatchObject({
      message: 'a failed in boot.plan: plain text',
    });
  });

  test('notification taps are isolated: all are told, failures go to the core', async () => {
    const { hooks, isolated } = fresh();
    const told: string[] = [];
    hooks.tapsFor('a').notification.notify.tap(() => Promise.reject(new Error('mail server down')));
    hooks.tapsFor('b').notification.notify.tap((given) => void told.push(given.id));
    expect(await hooks.call('notification.notify', event)).toBeUndefined();
    expect(told).toEqual(['1']);
    expect(isolated).toMatchObject([{ code: 'PLUGIN_FAILED', plugin: 'a', hook: 'notification.notify' }]);
  });

  test('collect is not isolated: a failing codec plugin is an error', async () => {
    const { hooks, isolated } = fresh();
    hooks.tapsFor('diff-x').diffing.codec.tap(() => Promise.reject(new Error('no wasm')));
    await expect(hooks.call('diffing.codec', {})).rejects.toMatchObject({ plugin: 'diff-x' });
    expect(isolated).toEqual([]);
  });
});

describe('closed and frozen', () => {
  test('plugins see every hook of the table and tap alone', () => {
    const taps = fresh().hooks.tapsFor('a') as unknown as Record<string, Record<string, object>>;
    const seen = Object.entries(taps).flatMap(([group, verbs]) =>
      Object.keys(verbs).map((verb) => `${group}.${verb}`),
    );
    expect(seen).toEqual(HOOK_NAMES);
    for (const verbs of Object.values(taps)) {
      for (const hook of Object.values(verbs)) expect(Object.keys(hook)).toEqual(['tap']);
    }
  });

  test('groups, hooks and calls are frozen', () => {
    const { hooks } = fresh();
    const taps = hooks.tapsFor('a');
    expect(() => Object.assign(taps, { extra: {} })).toThrow(TypeError);
    expect(() => Object.assign(taps.boot, { plan: undefined })).toThrow(TypeError);
    expect(() => Object.assign(taps.boot.plan, { tap: undefined })).toThrow(TypeError);
    expect(() => Object.assign(hooks, { call: undefined })).toThrow(TypeError);
  });

  test.each(['before', 'context', 'type'])('the tap option %s is refused', (option) => {
    const taps = fresh().hooks.tapsFor('a');
    expect(() => loose(taps, 'boot', 'plan').tap(() => undefined, { [option]: 'b' })).toThrow(
      expect.objectContaining({ code: 'PLUGIN_FAILED', plugin: 'a', hook: 'boot.plan' }),
    );
  });

  test('a tap that is no function is refused', () => {
    const taps = fresh().hooks.tapsFor('a');
    expect(() => loose(taps, 'boot', 'plan').tap('text')).toThrow(/not a function/);
  });

  test('two sets of hooks share nothing', async () => {
    const [one, two] = [fresh(), fresh()];
    one.hooks.tapsFor('a').diffing.choose.tap(() => ({ codec: 'zstd' }));
    expect(await two.hooks.call('diffing.choose', choice)).toBeUndefined();
  });
});

test.each(HOOK_NAMES)('%s can be tapped and called', async (name: HookName) => {
  const { hooks } = fresh();
  const [group, verb] = name.split('.') as [string, string];
  const seen: unknown[] = [];
  loose(hooks.tapsFor('a'), group, verb).tap((input: unknown) => void seen.push(input));
  const input = { any: 'input' };
  await hooks.call(name, input as never);
  expect(seen).toEqual([input]);
  expect(['bail', 'collect', 'isolated']).toContain(HOOK_TABLE[name].kind);
});
