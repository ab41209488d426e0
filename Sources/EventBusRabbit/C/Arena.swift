import CRabbitMQ
import EventBus

/// A pool of memory for the C values of one call, which is allocated in pieces and released all at once.
///
/// Only the connection's thread uses it. Its values are valid until ``reset()``.
final class Arena {
    private static let blockSize = 16 << 10

    private let block = UnsafeMutableRawPointer.allocate(byteCount: Arena.blockSize, alignment: 16)
    private var used = 0
    private var large: [UnsafeMutableRawPointer] = []

    deinit {
        reset()
        block.deallocate()
    }

    /// Releases everything.
    func reset() {
        used = 0
        for pointer in large { pointer.deallocate() }
        large.removeAll(keepingCapacity: true)
    }

    private func allocate(_ size: Int) -> UnsafeMutableRawPointer {
        let rounded = (size + 15) & ~15
        if used + rounded <= Self.blockSize {
            defer { used += rounded }
            return block + used
        }
        let pointer = UnsafeMutableRawPointer.allocate(byteCount: max(rounded, 16), alignment: 16)
        large.append(pointer)
        return pointer
    }

    private func allocate<Value>(_ type: Value.Type, count: Int) -> UnsafeMutablePointer<Value> {
        allocate(count * MemoryLayout<Value>.stride).bindMemory(to: type, capacity: count)
    }

    /// Returns the string in UTF-8.
    func bytes(_ string: String) -> amqp_bytes_t {
        var string = string
        return string.withUTF8 { copy($0) }
    }

    private func copy(_ source: UnsafeBufferPointer<UInt8>) -> amqp_bytes_t {
        guard let start = source.baseAddress, source.count > 0 else { return amqp_bytes_t(len: 0, bytes: nil) }
        let target = allocate(source.count)
        target.copyMemory(from: start, byteCount: source.count)
        return amqp_bytes_t(len: source.count, bytes: target)
    }

    /// Returns the table's entries, in no particular order.
    func table(_ values: HeaderTable) -> amqp_table_t {
        guard !values.isEmpty else { return amqp_table_t(num_entries: 0, entries: nil) }
        let entries = allocate(amqp_table_entry_t.self, count: values.count)
        var index = 0
        for (name, value) in values {
            (entries + index).initialize(to: amqp_table_entry_t(key: bytes(name), value: field(value)))
            index += 1
        }
        return amqp_table_t(num_entries: Int32(clamping: values.count), entries: entries)
    }

    private func field(_ value: HeaderValue) -> amqp_field_value_t {
        var field = amqp_field_value_t()
        func set(_ kind: amqp_field_value_kind_t) { field.kind = UInt8(truncatingIfNeeded: kind.rawValue) }
        switch value {
        case .string(let text):
            set(AMQP_FIELD_KIND_UTF8)
            field.value.bytes = bytes(text)
        case .int(let number):
            set(AMQP_FIELD_KIND_I64)
            field.value.i64 = number
        case .double(let number):
            set(AMQP_FIELD_KIND_F64)
            field.value.f64 = number
        case .bool(let flag):
            set(AMQP_FIELD_KIND_BOOLEAN)
            field.value.boolean = flag ? 1 : 0
        case .bytes(let bytes):
            set(AMQP_FIELD_KIND_BYTES)
            field.value.bytes = bytes.withUnsafeBufferPointer { copy($0) }
        case .timestamp(let seconds):
            set(AMQP_FIELD_KIND_TIMESTAMP)
            field.value.u64 = UInt64(bitPattern: seconds)
        case .array(let values):
            set(AMQP_FIELD_KIND_ARRAY)
            let entries = allocate(amqp_field_value_t.self, count: values.count)
            for (index, value) in values.enumerated() {
                (entries + index).initialize(to: self.field(value))
            }
            field.value.array = amqp_array_t(num_entries: Int32(clamping: values.count), entries: entries)
        case .table(let values):
            set(AMQP_FIELD_KIND_TABLE)
            field.value.table = table(values)
        case .null:
            set(AMQP_FIELD_KIND_VOID)
        }
        return field
    }
}
