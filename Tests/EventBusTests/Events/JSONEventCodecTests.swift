import EventBus
import Testing

@Suite("Events as JSON", .timeLimit(.minutes(1)))
struct JSONEventCodecTests {
    private struct Parcel: Codable {
        var weight = 2
        var address = "a/b"
        var items = ["z": 1, "y": 2, "x": 3, "w": 4]
    }

    @Test("Keys are sorted, so that equal events have equal bytes in every process")
    func sortedKeys() throws {
        let bytes = try JSONEventCodec().encode(Parcel())
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"address":"a/b","items":{"w":4,"x":3,"y":2,"z":1},"weight":2}"#
        )
    }
}
