/// Returns a hash of the bytes of a member's name: of its length, its first eight bytes, and its last eight.
///
/// The hash is only a filter: names with equal hashes are compared byte by byte. Nothing that depends on it is worse
/// than linear even if all hashes are equal.
@inline(__always)
func jsonKeyHash(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt32 {
    // Each load is within the `count` bytes that the caller guarantees.
    let raw = UnsafeRawPointer(bytes)
    var mixed: UInt64
    if count >= 8 {
        mixed = raw.loadUnaligned(as: UInt64.self) &* 0xff51_afd7_ed55_8ccd
        mixed ^= (raw + (count - 8)).loadUnaligned(as: UInt64.self)
    } else if count >= 4 {
        mixed = UInt64(raw.loadUnaligned(as: UInt32.self)) << 32
        mixed |= UInt64((raw + (count - 4)).loadUnaligned(as: UInt32.self))
    } else if count > 0 {
        mixed = UInt64(bytes[0]) << 16 | UInt64(bytes[count >> 1]) << 8 | UInt64(bytes[count - 1])
    } else {
        mixed = 0
    }
    mixed = (mixed ^ UInt64(truncatingIfNeeded: count)) &* 0x9e37_79b9_7f4a_7c15
    return UInt32(truncatingIfNeeded: mixed >> 32)
}
