import { Type } from 'typebox';

const optional = Type.Optional;

const Devices = Type.Array(Type.Object({ modalias: Type.String(), module: Type.String() }));

/** What the agent reports about the hardware. */
export const FACTS = Type.Object({
  uuid: optional(Type.String()),
  firmware: Type.String(),
  arch: Type.String(),
  cpu: Type.Object({ model: Type.String(), cores: Type.Integer() }),
  memoryBytes: Type.Integer(),
  disks: Type.Array(
    Type.Object({
      name: Type.String(),
      bytes: Type.Integer(),
      sectorBytes: Type.Integer(),
      transport: Type.String(),
      serial: optional(Type.String()),
      wwn: optional(Type.String()),
      model: optional(Type.String()),
      removable: Type.Boolean(),
      devices: optional(Devices),
    }),
  ),
  nics: Type.Array(
    Type.Object({
      name: Type.String(),
      mac: Type.String(),
      driver: optional(Type.String()),
      speedMbps: optional(Type.Number()),
      link: optional(Type.Boolean()),
      neighbour: optional(
        Type.Object({
          chassisId: Type.String(),
          portId: Type.String(),
          systemName: optional(Type.String()),
          portDescription: optional(Type.String()),
          vlan: optional(Type.Integer()),
        }),
      ),
      devices: optional(Devices),
    }),
  ),
  dmi: Type.Object({
    vendor: optional(Type.String()),
    product: optional(Type.String()),
    serial: optional(Type.String()),
  }),
});

/** What its firmware told DHCP. */
export const DHCP_FACTS = Type.Object({
  archCode: optional(Type.Integer()),
  vendorClass: optional(Type.String()),
  hostname: optional(Type.String()),
  uuid: optional(Type.String()),
  at: Type.String({ format: 'date-time' }),
});

/** What its management controller says. */
export const CONTROLLER_FACTS = Type.Object({
  vendor: optional(Type.String()),
  product: optional(Type.String()),
  serial: optional(Type.String()),
  uuid: optional(Type.String()),
  biosVersion: optional(Type.String()),
  mac: optional(Type.String()),
  firmwareVersion: optional(Type.String()),
  watts: optional(Type.Number()),
  at: Type.String({ format: 'date-time' }),
});
