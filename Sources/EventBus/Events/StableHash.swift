/// A hash that is the same in every process, unlike Swift's `Hasher`: FNV-1a (Fowler, Noll and Vo) with 64 bits.
enum StableHash {
    static func hash(of bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
