import { deltaCodecConformance } from '@overdub/core/testing';
import { xdeltaCodec } from './codec.ts';

deltaCodecConformance('diff-xdelta', xdeltaCodec());
