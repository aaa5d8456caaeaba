/** The DHCP server, whose iPXE shows a menu. */

import { bootConfig, SERVER } from './plugins.ts';

export default bootConfig(SERVER, '0.0.0.0', { ipxe: { menu: { seconds: 5 } } });
