/** What boot-pxelinux can be told. */

import { type Static, Type } from 'typebox';

export const PxelinuxOptions = Type.Object(
  {
    bios: Type.Optional(
      Type.Union([Type.Literal('ipxe'), Type.Literal('pxelinux')], {
        description:
          'What BIOS machines without a label `loader` boot through: `ipxe` (default), which leaves them to boot-ipxe, or `pxelinux`.',
      }),
    ),
    transfer: Type.Optional(
      Type.Union([Type.Literal('http'), Type.Literal('tftp')], {
        description:
          'How kernel and initrds come: `http` (default) by `lpxelinux.0`, or `tftp` by `pxelinux.0`, which leaves TCP alone.',
      }),
    ),
    packages: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Tree in which the files of Debian’s pxelinux and syslinux-common lie. Default: `/`.',
      }),
    ),
  },
  { additionalProperties: false },
);

export type PxelinuxOptions = Static<typeof PxelinuxOptions>;
