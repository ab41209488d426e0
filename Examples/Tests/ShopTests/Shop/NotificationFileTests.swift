import Foundation
import Testing

@testable import Shop

@Suite("The file of messages to customers", .timeLimit(.minutes(1)))
struct NotificationFileTests {
    @Test("It is readable by its owner only, and no link to a file of somebody else is emptied")
    func creation() throws {
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "notices-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        func path(_ name: String) -> String { folder.appending(path: name).path(percentEncoded: false) }
        _ = try NotificationFile(path: path("own"))
        let attributes = try FileManager.default.attributesOfItem(atPath: path("own"))
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        try Data("theirs".utf8).write(to: folder.appending(path: "theirs"))
        try FileManager.default.createSymbolicLink(atPath: path("link"), withDestinationPath: path("theirs"))
        #expect(throws: (any Error).self) { try NotificationFile(path: path("link")) }
        #expect(FileManager.default.contents(atPath: path("theirs")) == Data("theirs".utf8))
    }
}
