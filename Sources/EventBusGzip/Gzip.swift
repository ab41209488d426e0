internal import CZlib
internal import EventBus

/// Compression and decompression in gzip's format (RFC 1952).
enum Gzip {
    /// The base-two logarithm of the window size, plus 16 for gzip's format.
    private static let windowBits: Int32 = 15 + 16
    private static let memoryLevel: Int32 = 8
    private static let structSize = Int32(MemoryLayout<z_stream>.size)

    /// Returns the compressed form of `bytes`, or `nil` if it would not be smaller.
    static func compressed(_ bytes: [UInt8], level: Int) throws(EventBusError) -> [UInt8]? {
        guard bytes.count > 1, let length = UInt32(exactly: bytes.count) else { return nil }
        var stream = z_stream()
        let status = deflateInit2_(
            &stream,
            Int32(level),
            Z_DEFLATED,
            windowBits,
            memoryLevel,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            structSize
        )
        guard status == Z_OK else { throw EventBusError(.encodingFailed, "zlib could not start: status \(status)") }
        defer { deflateEnd(&stream) }
        var isComplete = false
        // Limited to a useful size, so that a payload that does not become smaller uses no further memory.
        let result = [UInt8](unsafeUninitializedCapacity: bytes.count - 1) { target, count in
            bytes.withUnsafeBufferPointer { source in
                // zlib does not write to its input.
                stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
                stream.avail_in = length
                stream.next_out = target.baseAddress
                stream.avail_out = length - 1
                isComplete = deflate(&stream, Z_FINISH) == Z_STREAM_END
            }
            count = isComplete ? Int(length - 1 - stream.avail_out) : 0
        }
        return isComplete ? result : nil
    }

    /// Returns the decompressed form of `bytes`, which may consist of several members.
    ///
    /// - Throws: `.decodingFailed` if `bytes` are not complete and valid gzip, or decompress to more than `limit` bytes.
    static func decompressed(_ bytes: [UInt8], limit: Int) throws(EventBusError) -> [UInt8] {
        guard let length = UInt32(exactly: bytes.count) else { throw damaged("it is larger than 4 GiB") }
        var stream = z_stream()
        let status = inflateInit2_(&stream, windowBits, ZLIB_VERSION, structSize)
        guard status == Z_OK else { throw damaged("zlib could not start: status \(status)") }
        defer { inflateEnd(&stream) }
        var result: [UInt8] = []
        var problem: String?
        bytes.withUnsafeBufferPointer { source in
            // zlib does not write to its input.
            stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
            stream.avail_in = length
            problem = inflateAll(&stream, into: &result, limit: limit)
        }
        if let problem { throw damaged(problem) }
        return result
    }

    /// Decompresses all of the input.
    ///
    /// - Returns: A description of the problem, or `nil` if there is none.
    private static func inflateAll(_ stream: inout z_stream, into result: inout [UInt8], limit: Int) -> String? {
        let chunkSize = 32 << 10
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunkSize) { chunk in
            while true {
                stream.next_out = chunk.baseAddress
                stream.avail_out = UInt32(chunkSize)
                let status = inflate(&stream, Z_NO_FLUSH)
                let produced = chunkSize - Int(stream.avail_out)
                guard produced <= limit - result.count else { return "it decompresses to more than \(limit) bytes" }
                result.append(contentsOf: chunk.prefix(produced))
                switch status {
                case Z_OK: continue
                case Z_STREAM_END:
                    if stream.avail_in == 0 { return nil }
                    // Another member follows.
                    guard inflateReset(&stream) == Z_OK else { return "zlib could not continue" }
                case Z_BUF_ERROR: return "it ends before its data does"
                case Z_MEM_ERROR: return "there is not enough memory"
                default: return stream.msg.map { String(cString: $0) } ?? "status \(status)"
                }
            }
        }
    }

    private static func damaged(_ problem: String) -> EventBusError {
        EventBusError(.decodingFailed, "the payload cannot be decompressed with gzip: \(problem)")
    }
}
