/** The DHCP server, whose PXELINUX has files by TFTP alone. */

import { bootConfig, SERVER } from './plugins.ts';

export default bootConfig(SERVER, '0.0.0.0', { pxelinux: { transfer: 'tftp' } });
