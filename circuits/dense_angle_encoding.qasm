// dense_angle_encoding: Two values a wire: the angle of RY and a phase.
// Source: LaRose and Coyle, arXiv:2003.01695
// Options: num_values=8
// Qubits (q[0] is the least significant): data q[0], q[1], q[2], q[3]; ancilla none
// Parameters in radians, as declared: 0 weights w_..., 8 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] x_0000;
input float[64] x_0001;
input float[64] x_0002;
input float[64] x_0003;
input float[64] x_0004;
input float[64] x_0005;
input float[64] x_0006;
input float[64] x_0007;
qubit[4] q;
ry(x_0000) q[3];
p(x_0001) q[3];
ry(x_0002) q[2];
p(x_0003) q[2];
ry(x_0004) q[1];
p(x_0005) q[1];
ry(x_0006) q[0];
p(x_0007) q[0];
