/// A hash that is the same in every process, unlike Swift's `Hasher`: FNV-1a with the finalizer of SplitMix64 (Steele,
/// Lea, Flood 2014).
struct FaultHash {
    private(set) var value: UInt64

    init(seed: UInt64) {
        self.value = 0xCBF2_9CE4_8422_2325 ^ Self.mix(seed)
    }

    mutating func combine(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
        // Terminates the field, so that the next field is not its continuation.
        value = (value ^ 0xFF) &* 0x100_0000_01B3
    }

    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
