// basic_entangling_layers: RX on each wire, then a ring of CNOTs.
// Source: De Falco et al. (2024); PennyLane's BasicEntanglerLayers
// Options: num_wires=4, depth=4
// Qubits (q[0] is the least significant): data q[0], q[1], q[2], q[3]; ancilla none
// Parameters in radians, as declared: 16 weights w_..., 0 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] w_0000;
input float[64] w_0001;
input float[64] w_0002;
input float[64] w_0003;
input float[64] w_0004;
input float[64] w_0005;
input float[64] w_0006;
input float[64] w_0007;
input float[64] w_0008;
input float[64] w_0009;
input float[64] w_0010;
input float[64] w_0011;
input float[64] w_0012;
input float[64] w_0013;
input float[64] w_0014;
input float[64] w_0015;
qubit[4] q;
rx(w_0000) q[3];
rx(w_0001) q[2];
rx(w_0002) q[1];
rx(w_0003) q[0];
cx q[3], q[2];
cx q[2], q[1];
cx q[1], q[0];
cx q[0], q[3];
rx(w_0004) q[3];
rx(w_0005) q[2];
rx(w_0006) q[1];
rx(w_0007) q[0];
cx q[3], q[2];
cx q[2], q[1];
cx q[1], q[0];
cx q[0], q[3];
rx(w_0008) q[3];
rx(w_0009) q[2];
rx(w_0010) q[1];
rx(w_0011) q[0];
cx q[3], q[2];
cx q[2], q[1];
cx q[1], q[0];
cx q[0], q[3];
rx(w_0012) q[3];
rx(w_0013) q[2];
rx(w_0014) q[1];
rx(w_0015) q[0];
cx q[3], q[2];
cx q[2], q[1];
cx q[1], q[0];
cx q[0], q[3];
