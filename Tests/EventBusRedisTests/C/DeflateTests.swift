import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct DeflateTests {
    private let text = Array(String(repeating: #"{"cents":995,"currency":"EUR"},"#, count: 500).utf8)

    @Test func `what was compressed comes back, and takes less room`() throws {
        let compressed = try #require(Deflate.compressed(text))
        #expect(compressed.count < text.count / 10)
        #expect(Deflate.inflated(compressed, to: text.count, limit: text.count) == text)
    }

    @Test func `what does not become smaller by an eighth stays as it is`() {
        var generator = SystemRandomNumberGenerator()
        let noise = (0..<5000).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        #expect(Deflate.compressed(noise) == nil)
        #expect(Deflate.compressed([]) == nil)
        #expect(Deflate.compressed([1]) == nil)
        #expect(StoredValue(encoded: noise, compressingFrom: 1) == StoredValue(bytes: noise))
        #expect(StoredValue(encoded: text, compressingFrom: text.count + 1) == StoredValue(bytes: text))
        #expect(StoredValue(encoded: text, compressingFrom: nil) == StoredValue(bytes: text))
        #expect(StoredValue(encoded: text, compressingFrom: text.count).inflatedSize == text.count)
    }

    @Test func `a wrong size, a wrong byte and a missing end are noticed`() throws {
        let compressed = try #require(Deflate.compressed(text))
        for size in [0, -1, 1, text.count - 1, text.count + 1, .max, .min] {
            #expect(Deflate.inflated(compressed, to: size, limit: .max) == nil, "\(size)")
        }
        #expect(Deflate.inflated(compressed, to: text.count, limit: text.count - 1) == nil)
        for end in 0..<compressed.count {
            #expect(Deflate.inflated(Array(compressed[..<end]), to: text.count, limit: .max) == nil, "\(end)")
        }
        for position in compressed.indices {
            var changed = compressed
            changed[position] ^= 0xFF
            // Some header bytes may change without consequences, but the data must never change.
            let result = Deflate.inflated(changed, to: text.count, limit: .max)
            #expect(result == nil || result == text, "\(position)")
        }
    }

    @Test func `a few bytes that claim to be many cost nothing`() throws {
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        let bomb = try #require(Deflate.compressed(zeros))
        #expect(bomb.count < 8192)
        #expect(Deflate.inflated(bomb, to: zeros.count, limit: 1 << 20) == zeros)
        #expect(Deflate.inflated(bomb, to: zeros.count, limit: zeros.count - 1) == nil)
        // The ratio exceeds what the format allows, so there is no need to try.
        #expect(Deflate.inflated([UInt8](bomb.prefix(20)), to: 1 << 40, limit: .max) == nil)
        #expect(Deflate.inflated([1, 2, 3], to: 1 << 50, limit: .max) == nil)
    }
}
