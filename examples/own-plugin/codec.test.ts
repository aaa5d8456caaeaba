import { deltaCodecConformance } from '@overdub/core/testing';
import { copyCodec } from './codec.ts';

deltaCodecConformance('copy', copyCodec);
