/** What boot-grub can be told. */

import { type Static, Type } from 'typebox';

export const GrubOptions = Type.Object(
  {
    uefi: Type.Optional(
      Type.Union([Type.Literal('grub'), Type.Literal('ipxe')], {
        description:
          'What UEFI x86-64 machines without a label `loader` boot through: `grub` (default), or `ipxe`, which leaves them to boot-ipxe.',
      }),
    ),
    packages: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Tree in which the files of Debian’s shim-signed and grub-efi-amd64-signed lie. Default: `/`.',
      }),
    ),
    arm: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'The same for 64-bit ARM: shim-signed and grub-efi-arm64-signed, unpacked with `dpkg -x`. Default: such machines get nothing.',
      }),
    ),
  },
  { additionalProperties: false },
);

export type GrubOptions = Static<typeof GrubOptions>;
