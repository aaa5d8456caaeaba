import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { sessionCpio } from './session.ts';

describe('sessionCpio', () => {
  test('holds /overdub/session.json as the ramdisk reads it', () => {
    const archive = sessionCpio({ url: 'http://10.0.0.1:7077/', nonce: 'abc_DEF-9' });
    const { stdout } = spawnSync('cpio', ['-i', '--to-stdout', '--quiet', 'overdub/session.json'], {
      input: archive,
    });
    expect(JSON.parse(stdout.toString())).toEqual({ url: 'http://10.0.0.1:7077', nonce: 'abc_DEF-9' });
    expect(archive.length % 512).toBe(0);
  });

  test('init’s sed finds the URL in it', () => {
    const archive = sessionCpio({ url: 'http://appliance.example:7077', nonce: 'n' });
    const { stdout } = spawnSync('cpio', ['-i', '--to-stdout', '--quiet', 'overdub/session.json'], {
      input: archive,
    });
    const sed = spawnSync('sed', ['-n', 's/.*"url" *: *"\\([^"]*\\)".*/\\1/p'], { input: stdout });
    expect(sed.stdout.toString().trim()).toBe('http://appliance.example:7077');
  });

  test.each(['', 'a/b', '../x', 'a b', 'x'.repeat(129)])('refuses the nonce %j', (nonce) => {
    expect(() => sessionCpio({ url: 'http://a', nonce })).toThrow(/nonce/);
  });

  test.each(['', 'ftp://a', 'a', 'http://a/"x', 'http://a b'])('refuses the URL %j', (url) => {
    expect(() => sessionCpio({ url, nonce: 'n' })).toThrow(/not an HTTP URL/);
  });
});
