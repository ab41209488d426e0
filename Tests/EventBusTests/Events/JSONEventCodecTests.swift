import EventBus
import EventBusInMemory
import FoundationEssentials
import Testing

@Suite("Events as JSON", .timeLimit(.minutes(1)))
struct JSONEventCodecTests {
    private struct Parcel: Codable {
        var weight = 2
        var address = "a/b"
        var items = ["z": 1, "y": 2, "x": 3, "w": 4]
    }

    @Test("Members are in the order of the type and dictionaries are sorted, so equal events have equal bytes")
    func order() throws {
        let bytes = try JSONEventCodec().encode(Parcel())
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"weight":2,"address":"a/b","items":{"w":4,"x":3,"y":2,"z":1}}"#
        )
    }

    private struct Delivery: Codable, Equatable {
        var parcelWeight = 2.5
        var deliveredAt = Date(timeIntervalSince1970: 1_700_000_000)
        var label = Data([1, 2])
    }

    @Test("Foundation's strategies change the format of names, dates and data")
    func strategies() throws {
        var codec = JSONEventCodec()
        codec.keyEncodingStrategy = .convertToSnakeCase
        codec.keyDecodingStrategy = .convertFromSnakeCase
        codec.dateEncodingStrategy = .secondsSince1970
        codec.dateDecodingStrategy = .secondsSince1970
        codec.dataEncodingStrategy = .deferredToData
        codec.dataDecodingStrategy = .deferredToData
        codec.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "+",
            negativeInfinity: "-",
            nan: "?"
        )
        codec.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "+",
            negativeInfinity: "-",
            nan: "?"
        )
        let bytes = try codec.encode(Delivery(parcelWeight: .infinity))
        #expect(
            String(decoding: bytes, as: UTF8.self) == #"{"parcel_weight":"+","delivered_at":1700000000,"label":[1,2]}"#
        )
        #expect(try codec.decode(Delivery.self, from: bytes) == Delivery(parcelWeight: .infinity))
    }

    @Test("Local listeners get the payload as the bus's codec encodes it")
    func localPayload() async throws {
        struct Renamed: Event {
            static let topic: Topic = "parcel.renamed"
            var newName = "x"
        }
        var codec = JSONEventCodec()
        codec.keyEncodingStrategy = .convertToSnakeCase
        var configuration = EventBusConfiguration()
        configuration.codec = codec
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        let payloads = Locked<[String]>([])
        bus.local.on("parcel.#") { event in
            let text = String(decoding: try event.payload(), as: UTF8.self)
            payloads.withLock { $0.append(text) }
        }
        bus.local.emit(Renamed())
        await bus.local.idle()
        #expect(payloads.withLock { $0 } == [#"{"new_name":"x"}"#])
    }
}
