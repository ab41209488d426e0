#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// The types that the coder reads and writes itself.
enum JSONKnownType: UInt8 {
    case other
    case bool, string, double, float
    case int, int8, int16, int32, int64, int128
    case uint, uint8, uint16, uint32, uint64, uint128
    case date, data, url, decimal, uuid
    case bools, strings, doubles, floats
    case ints, int8s, int16s, int32s, int64s
    case uints, uint8s, uint16s, uint32s, uint64s
}

/// A hash table from the identity of a type to its `JSONKnownType`.
///
/// A generic method consults it for every value, so a lookup costs only two loads and a comparison.
struct JSONKnownTypes: @unchecked Sendable {
    // Sendable because the memory is written in `init` only. It is never freed because the only instance is a constant.
    private let slots: UnsafeMutablePointer<(type: UInt, known: JSONKnownType)>
    private static let slotCount = 256

    static let shared = JSONKnownTypes()

    private init() {
        slots = .allocate(capacity: Self.slotCount)
        slots.initialize(repeating: (0, .other), count: Self.slotCount)
        let types: [(Any.Type, JSONKnownType)] = [
            (Bool.self, .bool), (String.self, .string), (Double.self, .double), (Float.self, .float),
            (Int.self, .int), (Int8.self, .int8), (Int16.self, .int16), (Int32.self, .int32), (Int64.self, .int64),
            (Int128.self, .int128), (UInt.self, .uint), (UInt8.self, .uint8), (UInt16.self, .uint16),
            (UInt32.self, .uint32), (UInt64.self, .uint64), (UInt128.self, .uint128),
            (Date.self, .date), (Data.self, .data), (URL.self, .url), (Decimal.self, .decimal), (UUID.self, .uuid),
            ([Bool].self, .bools), ([String].self, .strings), ([Double].self, .doubles), ([Float].self, .floats),
            ([Int].self, .ints), ([Int8].self, .int8s), ([Int16].self, .int16s), ([Int32].self, .int32s),
            ([Int64].self, .int64s), ([UInt].self, .uints), ([UInt8].self, .uint8s), ([UInt16].self, .uint16s),
            ([UInt32].self, .uint32s), ([UInt64].self, .uint64s),
        ]
        for (type, known) in types {
            let identity = UInt(bitPattern: ObjectIdentifier(type))
            var slot = Self.slot(of: identity)
            while slots[slot].type != 0 { slot = (slot + 1) % Self.slotCount }
            slots[slot] = (identity, known)
        }
    }

    @inline(__always)
    private static func slot(of identity: UInt) -> Int {
        Int(truncatingIfNeeded: (identity &* 0x9e37_79b9_7f4a_7c15) >> 56)
    }

    @inline(__always)
    subscript<Value>(type: Value.Type) -> JSONKnownType {
        let identity = UInt(bitPattern: ObjectIdentifier(type))
        var slot = Self.slot(of: identity)
        // The loop ends because most slots are empty, and stays in bounds because of the remainder.
        while slots[slot].type != 0 {
            if slots[slot].type == identity { return slots[slot].known }
            slot = (slot &+ 1) % Self.slotCount
        }
        return .other
    }
}
