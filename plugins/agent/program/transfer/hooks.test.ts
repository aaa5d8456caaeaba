import { describe, expect, it } from 'vitest';
import { parseDeferral, parseDirective } from './hooks.ts';

describe('what post hooks print', () => {
  it('asks for a path again, leaves one out, or puts a file in place of another', () => {
    expect(parseDirective('rescan /var/lib/db/')).toEqual({ kind: 'rescan', path: 'var/lib/db' });
    expect(parseDirective('rescan var/lib/db')).toEqual({ kind: 'rescan', path: 'var/lib/db' });
    expect(parseDirective('omit /var/lib/db/old')).toEqual({ kind: 'omit', path: 'var/lib/db/old' });
    expect(parseDirective(' put /var/lib/db/label /run/label ')).toEqual({
      kind: 'put',
      path: 'var/lib/db/label',
      file: '/run/label',
    });
  });

  it('is refused when it is anything else, or leaves the root', () => {
    const wrong = [
      'hello',
      'rescan',
      'rescan ../x',
      'rescan a b',
      'omit',
      'omit /',
      'omit ../x',
      'omit a b',
      'put x',
      'put ../x /y',
      'put x y',
      'put / /y',
      'put a/./b /y',
    ];
    for (const line of wrong) expect(() => parseDirective(line)).toThrow(/not understood/);
  });
});

describe('what pre hooks print', () => {
  it('puts a tree off until after the post hooks', () => {
    expect(parseDeferral('defer /var/lib/db/wal/')).toEqual({ kind: 'defer', path: 'var/lib/db/wal' });
  });

  it('is refused when it is anything else, or the whole root', () => {
    for (const line of ['hello', 'defer', 'defer /', 'defer ../x', 'defer a b', 'rescan a', 'put a /b']) {
      expect(() => parseDeferral(line)).toThrow(/not understood/);
    }
  });
});
