import EventBus
import Logging
import Testing

@testable import EventBusServiceKit

@Suite("JSON logs", .timeLimit(.minutes(1)))
struct JSONLogHandlerTests {
    private let file: LogFile

    init() throws {
        file = try LogFile()
    }

    @Test("A line is one JSON object: time, level, service and message, identifiers, then the rest by name")
    func line() throws {
        var logger = file.logger()
        logger[metadataKey: "zebra"] = "z"
        logger[metadataKey: "correlation-id"] = "c-1"
        logger.info("handled \"it\"\n\u{1}é", metadata: ["event-id": "e-1", "attempt": "2", "list": ["a", "b"]])
        let line = try #require(file.lines.first)
        #expect(file.lines.count == 1)
        let json = try JSONObject(line)
        #expect(json["level"] == "info" && json["service"] == "orders")
        #expect(json["message"] == "handled \"it\"\n\u{1}é")
        #expect(json["event-id"] == "e-1" && json["correlation-id"] == "c-1" && json["attempt"] == "2")
        #expect(json["list"] == #"["a", "b"]"#)
        let time = try #require(json["time"])
        #expect(time.count == 24 && EventTime(rfc3339: time) != nil)
        let order = ["time", "level", "service", "message", "event-id", "correlation-id", "attempt", "list", "zebra"]
        let positions = try order.map { key in try #require(line.firstRange(of: "\"\(key)\":")).lowerBound }
        #expect(positions == positions.sorted())
    }

    @Test("Lines below the level are not written, and metadata of the call overrides the logger's")
    func levels() throws {
        var logger = file.logger(level: .notice)
        logger[metadataKey: "who"] = "logger"
        logger.info("quiet")
        logger.warning("loud", metadata: ["who": "call"])
        #expect(file.lines.count == 1)
        #expect(try JSONObject(file.lines[0])["who"] == "call")
    }

    @Test("Metadata cannot replace the line's own members")
    func reservedKeys() throws {
        file.logger().info("true", metadata: ["message": "forged", "level": "error"])
        let json = try JSONObject(file.lines[0])
        #expect(json["message"] == "true" && json["metadata.message"] == "forged" && json["level"] == "info")
    }

    @Test("Lines of many tasks never mix")
    func concurrency() async throws {
        let logger = file.logger()
        let padding = String(repeating: "x", count: 3000)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for number in 0..<100 {
                        logger.info("line", metadata: ["of": "\(task)-\(number)", "padding": "\(padding)"])
                    }
                }
            }
        }
        let lines = file.lines
        #expect(lines.count == 800)
        let numbers = try Set(lines.map { try JSONObject($0)["of"] })
        #expect(numbers.count == 800)
    }

    @Test("No line contains a credential, neither in the message nor in the metadata")
    func credentials() throws {
        let logger = file.logger(secrets: ["amqp://orders:s3cret%21@rabbit/shop", "redis-pass"])
        logger.info(
            "cannot reach amqp://orders:s3cret%21@rabbit/shop or https://a:b@c/",
            metadata: [
                "plain": "the password is s3cret!", "nested": ["uri": "redis://:redis-pass@h"], "password": "anything",
                "smtp.password": "else", "fencing-token": "7",
            ]
        )
        let line = try #require(file.lines.first)
        for secret in ["s3cret", "redis-pass", "a:b@", "anything", "else"] { #expect(!line.contains(secret)) }
        let json = try JSONObject(line)
        #expect(json["message"] == "cannot reach *** or https://a:***@c/")
        #expect(json["plain"] == "the password is ***")
        #expect(json["fencing-token"] == "7")
    }

    @Test("An error is part of the line, and a value that is too long is truncated")
    func errorsAndLength() throws {
        struct Broken: Error {}
        file.logger().error("failed", error: Broken(), metadata: ["long": "\(String(repeating: "x", count: 50_000))"])
        let json = try JSONObject(file.lines[0])
        #expect(json["error"] == "Broken()")
        #expect(json["long"]?.count == 16_385)
    }

    @Test func `marks that a terminal or a viewer interprets are escaped, and texts are cut by bytes`() throws {
        let nasty = "a\u{9B}31mb\u{202E}c\u{2028}d\u{E0001}e\u{7F}é👩‍👩‍👧"
        file.logger().info("\(nasty)", metadata: ["id": "\(nasty)", "x\u{9B}": "1"])
        let line = try #require(file.lines.first)
        for scalar in "\u{9B}\u{202E}\u{2028}\u{E0001}\u{7F}".unicodeScalars {
            #expect(!line.unicodeScalars.contains(scalar))
        }
        #expect(line.contains("é👩‍👩‍👧"))
        #expect(try JSONObject(line)["id"] == nasty)
        let marks = "e" + String(repeating: "\u{301}", count: 1_000_000)
        file.logger().info("\(marks)", metadata: ["id": "\(marks)"])
        #expect(try #require(file.lines.last).utf8.count < 100_000)
    }
}
