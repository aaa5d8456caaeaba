/**
 * Our contender: boot-ipxe's artifacts by lib-netboot's TFTP server and the core's HTTP route, as an appliance serves
 * them. Arguments: a directory that holds `ipxe/ipxe.efi`, an address.
 */

import path from 'node:path';
import type { NetbootService } from '@overdub/core';
import { startTftpServer } from '@overdub/lib-netboot';
import fastify from 'fastify';
import { registerArtifacts } from '../../../core/netboot/artifact-route.ts';
import { ipxeArtifact } from '../../../plugins/boot-ipxe/artifacts.ts';

const [directory = '', address = ''] = process.argv.slice(2);
const artifact = (name: string) => ipxeArtifact(name, { directory: path.join(directory, 'ipxe') });
await startTftpServer({ listen: { interface: 'lo', address, port: 69 }, open: artifact });
const server = fastify();
registerArtifacts(server, { artifact } as NetbootService);
await server.listen({ host: address, port: 80 });
console.log('serving');
