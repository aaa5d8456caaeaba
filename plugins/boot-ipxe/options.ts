/** What boot-ipxe can be told. */

import { type Static, Type } from 'typebox';
import { MenuOptions } from './menu.ts';

export const IpxeOptions = Type.Object(
  {
    directory: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Where the iPXE binaries lie. Default: `/usr/lib/ipxe`, as Debian’s package `ipxe` has it.',
      }),
    ),
    uefi: Type.Optional(
      Type.Union([Type.Literal('ipxe.efi'), Type.Literal('snponly.efi')], {
        description:
          '`ipxe.efi` (default) brings its own drivers; `snponly.efi` uses the firmware’s, for NICs that lose their link.',
      }),
    ),
    menu: Type.Optional(MenuOptions),
  },
  { additionalProperties: false },
);

export type IpxeOptions = Static<typeof IpxeOptions>;

export const DEFAULT_DIRECTORY = '/usr/lib/ipxe';
