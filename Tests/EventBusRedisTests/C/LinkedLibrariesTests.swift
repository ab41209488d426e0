import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct LinkedLibrariesTests {
    @Test(arguments: [(0, 13, 3), (0, 14, 0)] as [(Int32, Int32, Int32)])
    func `a release with known vulnerabilities is recognized`(major: Int32, minor: Int32, patch: Int32) {
        #expect(LinkedLibraries.isVulnerable(major, minor, patch))
    }

    @Test(arguments: [(0, 14, 1), (1, 0, 0), (1, 2, 0)] as [(Int32, Int32, Int32)])
    func `a release without known vulnerabilities is recognized`(major: Int32, minor: Int32, patch: Int32) {
        #expect(!LinkedLibraries.isVulnerable(major, minor, patch))
    }

    @Test func `the releases are logged`() {
        let log = LogRecorder()
        LinkedLibraries.log(to: log.logger)
        #expect(log.lines.contains { $0.contains(LinkedLibraries.hiredis) && $0.contains("OpenSSL") })
    }
}
