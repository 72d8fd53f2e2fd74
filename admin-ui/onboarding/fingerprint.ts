/** 64 hex digits in sixteen groups of four, for a person to read. */
export function fingerprintGroups(sha256: string): string[] {
  return sha256.toUpperCase().match(/.{4}/g) ?? []
}

/**
 * Ten plain words that stand for a SHA-256 fingerprint, for a person to compare at a glance.
 *
 * Word `i` is `WORDS[octet i]` of the fingerprint's first ten octets. Ten words are 80 bits: someone
 * who wanted a root of their own with the same words would have to try some 10^24 certificates. The
 * words only help to compare: software compares the whole fingerprint.
 *
 * @param sha256 64 hex digits without separators.
 */
export function fingerprintWords(sha256: string): string[] {
  return [...Buffer.from(sha256, 'hex').subarray(0, 10)].map((octet) => WORDS[octet]!)
}

/**
 * 256 concrete words, no two with the same first four letters. The order is the scheme: a word that
 * moves changes every printed fingerprint, so the list never changes.
 */
export const WORDS: readonly string[] = `
  acorn album almond amber anchor apple apron arrow attic autumn
  badge bakery balcony bamboo banjo barrel basil basket beacon beaver bench berry bicycle biscuit
  blanket blossom bottle branch bread brick bridge broom bucket burger butter
  cabin cactus camel candle canoe carpet carrot castle cedar cello chair cherry chimney cinnamon
  circle clock clover cobra coffee comet copper coral cotton cradle crayon cricket crystal cupboard
  curtain
  daisy dancer desert diamond dinner dolphin donkey doorbell dragon drawer drummer dune
  eagle easel echo elbow elephant ember engine envelope
  fabric falcon feather fence ferry fiddle finch flame flute forest fossil fountain fox frost
  garden garlic gate ginger giraffe glacier globe goose grape gravel guitar
  hammer harbor hazel hedge helmet heron hillside honey horse hotel
  iceberg igloo indigo island ivory ivy
  jacket jasmine jelly jigsaw jungle juniper
  kayak kennel kettle keyhole kitchen kite kiwi koala
  ladder lagoon lantern laurel lemon lettuce library lily linen lizard lobster locket lotus
  magnet mango maple marble meadow melon mirror mitten monkey moss mountain muffin mustard
  napkin needle nest nickel notebook nutmeg
  oasis ocean olive onion opal orange orchid otter owl oyster
  paddle palace panda papaya parrot pasta pebble pelican pencil pepper piano pillow pilot planet plum
  pocket pony poppy potato pumpkin puzzle pyramid
  quartz quilt quiver
  rabbit radish raft rainbow raven ribbon river robin rocket rope rosemary ruby
  saddle saffron salmon sandal satin scarf seagull shovel silver snowman sofa spider spoon squirrel
  stairs sugar summer swan
  table teapot temple thunder ticket tiger tomato trumpet tulip turtle
  umbrella velvet violin walnut whistle willow window winter zebra zipper
`
  .trim()
  .split(/\s+/)
