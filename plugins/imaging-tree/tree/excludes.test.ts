import { describe, expect, it } from 'vitest';
import { compileExcludes, compileScope, DEFAULT_EXCLUDES } from './excludes.ts';

describe('exclude patterns', () => {
  const cases: [pattern: string, path: string, isDirectory: boolean, excluded: boolean][] = [
    ['var/cache/**', 'var/cache', true, false],
    ['var/cache/**', 'var/cache/x', false, true],
    ['var/cache/**', 'var/cache/x/y', false, true],
    ['/var/cache/**', 'srv/var/cache/x', false, false],
    ['var/cache', 'var/cache/x/y', false, true],
    ['var/cache', 'var/cached', false, false],
    ['*.log', 'var/log/a.log', false, true],
    ['*.log', 'a.log', false, true],
    ['*.log', 'a.log/inside', false, true],
    ['*.log', 'a.log.gz', false, false],
    ['/*.log', 'var/a.log', false, false],
    ['var/*/x', 'var/a/x', false, true],
    ['var/*/x', 'var/a/b/x', false, false],
    ['var/**/x', 'var/x', false, true],
    ['var/**/x', 'var/a/b/x', false, true],
    ['**/node_modules', 'a/b/node_modules/c', false, true],
    ['**/node_modules', 'node_modules', true, true],
    ['**', 'anything/at/all', false, true],
    ['tmp/', 'tmp', true, true],
    ['tmp/', 'tmp', false, false],
    ['tmp/', 'a/tmp/x', false, true],
    ['?', 'a', false, true],
    ['?', 'ab', false, false],
    ['[a-c]x', 'bx', false, true],
    ['[!a-c]x', 'bx', false, false],
    ['[!a-c]x', 'dx', false, true],
    ['a[!b]c', 'a/c', false, false],
    ['[]]', ']', false, true],
    ['a.b', 'axb', false, false],
    ['a+(b)|c', 'a+(b)|c', false, true],
    ['\\*', '*', false, true],
    ['\\*', 'x', false, false],
    ['new*line', 'new\nline', false, true],
    ['latin-?', 'latin-\udce9', false, true],
  ];
  it.each(cases)('%s on %s (directory: %s): %s', (pattern, path, isDirectory, excluded) => {
    expect(compileExcludes([pattern])(path, isDirectory)).toBe(excluded);
  });

  it('excludes nothing without patterns, and never the root', () => {
    expect(compileExcludes([])('a', false)).toBe(false);
    expect(compileExcludes(['*', '**'])('', true)).toBe(false);
  });

  it.each(['!keep', '', '[open', '/'])('refuses %j', (pattern) => {
    expect(() => compileExcludes([pattern])).toThrow(/exclude pattern/);
  });

  it('protects by default what is the machine’s and the agent’s, and keeps the server’s', () => {
    const excluded = compileExcludes(DEFAULT_EXCLUDES);
    for (const path of [
      'proc/1/stat',
      'run/lock',
      'boot/efi/EFI/BOOT/BOOTX64.EFI',
      'etc/systemd/network/10-overdub-lan0.link',
      'var/lib/overdub/credential',
      'etc/systemd/system/multi-user.target.wants/overdub-agent.service',
      'lost+found',
    ]) {
      expect([path, excluded(path, false)]).toEqual([path, true]);
    }
    for (const path of ['proc', 'run', 'boot/efi', 'etc/systemd/network/20-lan.network', 'home/lost+found']) {
      expect([path, excluded(path, true)]).toEqual([path, false]);
    }
  });
});

describe('scope', () => {
  it('tells inside, ancestor and outside, whatever the slashes', () => {
    const scope = compileScope(['/etc/ssh/', 'srv']);
    expect(['etc/ssh', 'etc/ssh/x', 'srv/a', 'etc', '', 'etc/sshx', 'var'].map(scope)).toEqual([
      'inside',
      'inside',
      'inside',
      'ancestor',
      'ancestor',
      'outside',
      'outside',
    ]);
    expect(compileScope(undefined, ['/home'])('home/x')).toBe('outside');
    expect(compileScope([], ['home'])('homes')).toBe('inside');
  });
});
