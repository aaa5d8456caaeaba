/** The DHCP server of machines to which the ramdisk comes whole only in the end. */

import { bootConfig, SERVER } from './plugins.ts';
import { brokenLoads } from './trouble.ts';

export default bootConfig(SERVER, '0.0.0.0', { more: [brokenLoads()] });
