import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct RedisServerErrorTests {
    /// In the formats of servers of several versions.
    static let messages: [(message: String, kind: String, code: EventBusError.Code)] = [
        ("NOPERM this user has no permissions to run the 'get' command", "NOPERM", .accessRefused),
        // 6.2 and 7.0, inside a script.
        (
            "ERR The user executing the script can't run this command or subcommand script: 0a9f, on @user_script:1.",
            "NOPERM", .accessRefused
        ),
        (
            "ERR Error running script (call to f_0a9f): @user_script:1: @user_script: 1: The user executing the script "
                + "can't access at least one of the keys mentioned in the command arguments ",
            "NOPERM", .accessRefused
        ),
        // 7.2.
        (
            "ERR ACL failure in script: User limited has no permissions to run the 'set' command script: 0a9f, on "
                + "@user_script:1.",
            "NOPERM", .accessRefused
        ),
        (
            "ERR Error running script (call to f_0a9f): @user_script:1: @user_script: 1: -READONLY You can't write "
                + "against a read only replica. ",
            "READONLY", .unavailable
        ),
        (
            "ERR Error running script (call to f_0a9f): @user_script:1: -OOM command not allowed when used memory > "
                + "'maxmemory'. ",
            "OOM", .unavailable
        ),
        (
            "ERR Error running script (call to f_0a9f): @user_script:1: WRONGTYPE Operation against a key holding the "
                + "wrong kind of value ",
            "WRONGTYPE", .rejected
        ),
        (
            "ERR Script attempted to access keys that do not hash to the same slot script: 0a9f, on @user_script:1.",
            "CROSSSLOT", .unsupported
        ),
        // The absence of another script is no reason to send this one in full.
        (
            "ERR Error running script (call to f_0a9f): @user_script:1: NOSCRIPT No matching script. Please use EVAL.",
            "ERR", .rejected
        ),
        ("ERR Error running script (call to f_0a9f): @user_script:1: attempt to index a nil value ", "ERR", .rejected),
        ("ERR unknown command 'OOM', with args beginning with: ", "ERR", .rejected),
        ("", "", .rejected),
    ]

    @Test(arguments: messages)
    func `the kind of an error is found, also where a script met with it`(
        message: String,
        kind: String,
        code: EventBusError.Code
    ) {
        let error = RedisServerError(message)
        #expect(error.kind == kind)
        #expect(error.message == message)
        #expect(error.asBusError.code == code)
    }
}
