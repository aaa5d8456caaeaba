import { describe, expect, test } from 'vitest';
import { parsePrintedUris } from './packages.ts';

const digest = 'a'.repeat(64);

describe('parsePrintedUris', () => {
  test('reads name, version with an epoch, size and digest; other lines are apt’s talk', () => {
    const output = [
      'Reading package lists...',
      `'http://deb.example/pool/z.deb' zlib1g_1%3a1.2.13_amd64.deb 86684 SHA256:${digest}`,
      `'http://deb.example/pool/b.deb' busybox-static_1.35.0-4+b1_amd64.deb 928188 SHA256:${digest}`,
    ].join('\n');
    expect(parsePrintedUris(output)).toEqual([
      {
        name: 'busybox-static',
        version: '1.35.0-4+b1',
        file: 'busybox-static_1.35.0-4+b1_amd64.deb',
        bytes: 928188,
        sha256: digest,
      },
      {
        name: 'zlib1g',
        version: '1:1.2.13',
        file: 'zlib1g_1%3a1.2.13_amd64.deb',
        bytes: 86684,
        sha256: digest,
      },
    ]);
  });

  test.each([
    "'http://deb.example/x.deb' x_1_amd64.deb 5 MD5Sum:abc",
    "'http://deb.example/x.deb' x_1_amd64.deb 5 ",
    `'http://deb.example/x.deb' ../x_1_amd64.txt 5 SHA256:${digest}`,
  ])('refuses a package without a strong digest: %s', (line) => {
    expect(() => parsePrintedUris(line)).toThrow(/no SHA-256/);
  });
});
