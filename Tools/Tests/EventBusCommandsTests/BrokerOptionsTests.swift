import ArgumentParser
import EventBusRabbit
import Foundation
import Testing

@testable import EventBusCommands

/// The configuration of the transport from a file.
struct BrokerOptionsTests {
    @Test func `keys that mean the same do not end the tool`() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "options-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(#"{"uri": "amqp://a:b@localhost/v", "client..Name": "x", "a.b": 1, "a..b": 2, ".a.b": 3}"#.utf8)
            .write(to: file)
        let options = try BrokerOptions.parse(["--config", file.path(percentEncoded: false)])
        #expect(try options.configuration(in: [:]).virtualHost == "v")
    }
}
