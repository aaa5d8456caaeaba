import { describe, expect, it } from 'vitest';
import { parseDirective } from './hooks.ts';

describe('what post hooks print', () => {
  it('asks for a path again, or puts a file in place of another', () => {
    expect(parseDirective('rescan /var/lib/db/')).toEqual({ kind: 'rescan', path: 'var/lib/db' });
    expect(parseDirective('rescan var/lib/db')).toEqual({ kind: 'rescan', path: 'var/lib/db' });
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
      'put x',
      'put ../x /y',
      'put x y',
      'put / /y',
      'put a/./b /y',
    ];
    for (const line of wrong) expect(() => parseDirective(line)).toThrow(/not understood/);
  });
});
