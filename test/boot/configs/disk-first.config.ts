/** The DHCP server; who asks for the script of its boot is sent to its disk the first time. */

import { bootConfig, SERVER } from './plugins.ts';
import { diskFirst } from './trouble.ts';

export default bootConfig(SERVER, '0.0.0.0', { more: [diskFirst()] });
