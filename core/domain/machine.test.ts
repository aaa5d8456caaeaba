import { describe, expect, it } from 'vitest';
import { normalizeMac, normalizeUuid } from './machine.ts';

describe('an SMBIOS UUID', () => {
  it('is compared in lower case', () => {
    expect(normalizeUuid(' 4C4C4544-0042-3510-8053-B4C04F4D3232 ')).toBe(
      '4c4c4544-0042-3510-8053-b4c04f4d3232',
    );
  });

  it.each([
    ['is missing', undefined],
    ['is empty', ''],
    ['is no UUID', 'To Be Filled By O.E.M.'],
    ['is all zeros', '00000000-0000-0000-0000-000000000000'],
    ['is all ones', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'],
    ['is one digit throughout', '11111111-1111-1111-1111-111111111111'],
    ['is AMI’s template', '03000200-0400-0500-0006-000700080009'],
    ['is AMI’s template in the other byte order', '00020003-0004-0005-0006-000700080009'],
  ])('that %s is none', (_, text) => expect(normalizeUuid(text)).toBeUndefined());
});

describe('a MAC address', () => {
  it('is written with colons, in lower case', () =>
    expect(normalizeMac('52-54-00-AB-CD-EF')).toBe('52:54:00:ab:cd:ef'));
  it.each(['00:00:00:00:00:00', '52:54:00', 'hello'])('%s is none', (text) =>
    expect(normalizeMac(text)).toBeUndefined(),
  );
});
